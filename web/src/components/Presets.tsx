import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";

/** The named scenarios, each a chip that puts its name into the question. */
export function Presets({ open, onInsert }: { open: boolean; onInsert: (id: string) => void }) {
  const presets = useQuery({
    queryKey: ["presets"],
    staleTime: Infinity,
    queryFn: async ({ signal }) => unwrap(await api.GET("/api/v1/presets", { signal })),
  });
  // Presets only help to ask: when they cannot be had, the question itself still works.
  if (!presets.data || presets.data.length === 0) return null;
  return (
    <details className="presets" open={open}>
      <summary>Presets: add a ready set of limits to the question</summary>
      <ul className="chips">
        {presets.data.map((preset) => (
          <li key={preset.id}>
            <button
              type="button"
              className="chip"
              title={preset.description}
              onClick={() => onInsert(preset.id)}
            >
              {preset.name}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
