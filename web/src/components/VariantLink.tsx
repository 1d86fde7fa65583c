import { Link } from "@tanstack/react-router";
import type { ComponentProps } from "react";

type Props = { id: string } & Omit<ComponentProps<"a">, "id" | "href" | "target">;

/** A link to a variant's page. Ids of published builds hold a slash, so the route takes the rest of the path. */
export function VariantLink({ id, ...rest }: Props) {
  return <Link to="/variants/$" params={{ _splat: id }} {...rest} />;
}
