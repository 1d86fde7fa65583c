import { useRef, useState } from "react";
import { useAccess } from "../useAccess";

type State = "idle" | "copied" | "selected";
const WORDS: Record<State, string> = { idle: "Copy", copied: "Copied", selected: "Selected: press Ctrl+C" };

/** The command that fetches a variant's files from this server, with a button that copies it. */
export function FetchCommand({ id, name }: { id: string; name: string }) {
  const code = useRef<HTMLElement>(null);
  const [state, setState] = useState<State>("idle");
  const folder = name.replace(/[^\w.-]+/g, "-");
  const command = `planner fetch ${id} ./${folder} --server ${window.location.origin}`;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      setState("copied");
    } catch {
      // Browsers give the clipboard to secure pages only: leave the last step to the reader.
      if (code.current) window.getSelection()?.selectAllChildren(code.current);
      setState("selected");
    }
  };
  const locked = useAccess().who?.auth === "all";
  return (
    <div className="command">
      <code ref={code}>{command}</code>
      <button type="button" onClick={() => void copy()} onBlur={() => setState("idle")}>
        <span aria-live="polite">{WORDS[state]}</span>
      </button>
      {locked && (
        <span className="muted">
          with your token in <code>PLANNER_TOKEN</code>
        </span>
      )}
    </div>
  );
}
