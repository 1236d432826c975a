/** How a piece of text is to stand out. */
export type Emphasis = 'good' | 'bad' | 'doubtful' | 'faint'

/** Puts colour around a text, or nothing where there are no colours. */
export type Paint = (emphasis: Emphasis, text: string) => string

/** For what is no terminal, or where colours are not wanted. */
export const noPaint: Paint = (_emphasis, text) => text

/** The colours of ECMA-48 that every terminal has. */
export const colourPaint: Paint = (emphasis, text) => `\u001b[${codes[emphasis]}m${text}\u001b[0m`

const codes: Readonly<Record<Emphasis, number>> = { good: 32, bad: 31, doubtful: 33, faint: 2 }
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * A text of unknown origin as one line that a terminal shows and does not obey: control characters, those that change the
 * direction of writing, line breaks and lone surrogates become escapes such as `\x1b`.
 */
export function visibleText(text: string): string {
  return text.replace(unseen, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** Breaks a line at blanks, and a word that is wider than `width` wherever it has to be. At least one line. */
export function wrapText(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (widthOf(longer) <= width) {
      line = longer
      continue
    }
    if (line !== '') lines.push(line)
    const pieces = piecesOf(word, width)
    lines.push(...pieces.slice(0, -1))
    line = pieces.at(-1) ?? ''
  }
  return [...lines, line]
}

/** Cuts what is too wide, with `...` for the rest where there is room for that. */
export function cutText(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  const mark = width > 3 ? '...' : ''
  return `${Array.from(text)
    .slice(0, Math.max(0, width - mark.length))
    .join('')}${mark}`
}

function piecesOf(word: string, width: number): readonly string[] {
  const characters = Array.from(word)
  const step = Math.max(1, width)
  const count = Math.max(1, Math.ceil(characters.length / step))
  return Array.from({ length: count }, (_, index) => characters.slice(index * step, (index + 1) * step).join(''))
}

function widthOf(text: string): number {
  return Array.from(text).length
}
