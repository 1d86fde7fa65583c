const ADDRESS = /https?:\/\/[^\s,;)]+/;

/** The sources of a citation. Several are divided by semicolons, each with its own address. */
export function sourcesOf(citation: string): { name: string; address: string | null }[] {
  const parts = citation.split("; ");
  const cited = parts.every((part) => ADDRESS.test(part)) ? parts : [citation];
  return cited.map((part) => {
    const address = part.match(ADDRESS)?.[0] ?? null;
    const name = address
      ? part
          .replace(address, "")
          .replace(/,\s*(?=\(|$)/, " ")
          .trim()
      : part;
    return { name: name || part, address };
  });
}

interface Props {
  citation?: string | null | undefined;
  protocol?: string | null | undefined;
  doubt?: string | null | undefined;
}

/** Where a piece of evidence comes from, by what protocol, and what speaks against it. */
export function Source({ citation, protocol, doubt }: Props) {
  return (
    <>
      {citation &&
        sourcesOf(citation).map(({ name, address }) => (
          <div key={name + address}>
            {address ? (
              <a href={address} rel="noreferrer noopener" target="_blank">
                {name}
              </a>
            ) : (
              name
            )}
          </div>
        ))}
      {protocol && <div className="muted">{protocol}</div>}
      {doubt && <div className="doubt">doubted: {doubt}</div>}
    </>
  );
}
