import { useVariantState } from "./Lifecycle";
import { StateBadge } from "./StateBadge";
import { VariantName } from "./VariantName";

/** A link to a variant with the state it is in, where that is worth a word. */
export function VariantAndState({ id }: { id: string }) {
  const state = useVariantState(id).data?.current.state ?? "active";
  return (
    <>
      <VariantName id={id} />
      {state !== "active" && " "}
      <StateBadge state={state} />
    </>
  );
}
