/** A sentence of the server: what stands between backticks is code. */
export function Prose({ text }: { text: string }) {
  const parts = text.split("`");
  if (parts.length % 2 === 0) return text;
  return parts.map((part, i) => {
    const place = `${i}:${part}`;
    return i % 2 ? <code key={place}>{part}</code> : <span key={place}>{part}</span>;
  });
}
