/** Wraps content that is XML already. */
export function xmlElement(name: string, content: string): string {
  return `<${name}>${content}</${name}>`
}

/** One element with text: `undefined` gives nothing, so that optional elements read as one list. */
export function xmlTextElement(name: string, text: string | number | boolean | undefined): string {
  return text === undefined ? '' : xmlElement(name, escapeXml(String(text)))
}

/**
 * Escapes markup, and control characters as references: a reader folds a raw CR into LF, and S3 sends characters that
 * XML 1.0 does not know as references too (ListObjectsV2, "encoding-type").
 */
function escapeXml(text: string): string {
  return text.replace(/[&<>"']|\p{Cc}/gu, (character) => escapes.get(character) ?? reference(character))
}

const escapes: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&apos;'],
])

function reference(character: string): string {
  return `&#${character.charCodeAt(0)};`
}
