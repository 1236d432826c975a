/** One challenge of a WWW-Authenticate header (RFC 9110 section 11.6.1). Texts have one character per byte (latin1). */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  /** Names in lower case; values without quotes and escapes. Of a name given twice the first counts. */
  readonly parameters: ReadonlyMap<string, string>
}

/**
 * Reads all challenges of all header lines. Values may be bare where the standard wants quotes: many a camera sends
 * `realm=IP Camera`. What cannot be read is passed over.
 */
export function parseChallenges(lines: readonly string[]): readonly Challenge[] {
  return lines.flatMap(parseLine)
}

// Each is tried at one place only, and none can match the same text in two ways.
const separators = /[\s,]*/y
const word = /[!#$%&'*+.^_`|~0-9a-z-]+/iy
const equals = /[ \t]*=[ \t]*/y
const quoted = /"((?:[^"\\]|\\.)*)(?:"|\\?$)/sy
const bare = /[^,]*/y

function parseLine(line: string): readonly Challenge[] {
  const challenges: { readonly scheme: string; readonly parameters: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(line) ?? undefined
    at += match?.[0].length ?? 0
    return match
  }
  while (at < line.length) {
    take(separators)
    const name = take(word)?.[0].toLowerCase()
    if (name === undefined) {
      at += 1 // no word begins with this character
      continue
    }
    if (take(equals) === undefined) {
      challenges.push({ scheme: name, parameters: new Map() })
      continue
    }
    const value = take(quoted)?.[1]?.replaceAll(/\\(.)/gs, '$1') ?? take(bare)?.[0].trim() ?? ''
    const parameters = challenges.at(-1)?.parameters
    if (parameters?.has(name) === false) parameters.set(name, value)
  }
  return challenges
}
