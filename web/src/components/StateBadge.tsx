import type { LifecycleState } from "../api/types";

/** Every state in words; the type makes the compiler name one that is missing. */
export const MEANING: Record<LifecycleState, string> = {
  active: "recommended and handed out",
  deprecated: "recommended only when nothing else satisfies a question; still handed out",
  yanked: "not recommended any more; still handed out, with a warning",
  quarantined: "neither recommended nor handed out",
  deleted: "its files are gone; what is known of it stays",
};

/** A state as a badge; active, which says nothing of note, is left out. */
export function StateBadge({ state }: { state: LifecycleState | null | undefined }) {
  if (!state || state === "active") return null;
  return (
    <span className={`badge state state-${state}`} title={MEANING[state]}>
      {state}
    </span>
  );
}
