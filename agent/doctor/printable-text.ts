import { redactText } from '../lib/redact.ts'

const maxCharacters = 600

/**
 * A text that may hold what a server or a certificate says: on one line, without what a terminal would act upon, of bounded
 * length, and without what gives a secret away by its shape.
 */
export function printableText(text: string, characters = maxCharacters): string {
  const line = redactText(text)
    .replace(/[\p{C}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim()
  return line.length > characters ? `${line.slice(0, characters).toWellFormed()}...` : line
}
