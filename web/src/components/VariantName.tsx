import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "../api/client";
import { VariantLink } from "./VariantLink";

/** An id as short as people recognise it: twelve digits of a digest, which the server understands too. */
export function shortId(id: string): string {
  return id.replace(/^(sha256:[0-9a-f]{12})[0-9a-f]+$/, "$1…");
}

/** A link to a variant that is known by its id alone, under its name as soon as the server has told it. */
export function VariantName({ id }: { id: string }) {
  const variant = useQuery({
    queryKey: ["variant", id],
    queryFn: async ({ signal }) =>
      unwrap(await api.GET("/api/v1/variants/{name}", { params: { path: { name: id } }, signal })),
  });
  const { data } = variant;
  return (
    <VariantLink id={id} title={id}>
      {data ? `${data.model_id}/${data.name}` : shortId(id)}
    </VariantLink>
  );
}
