export interface JsonBounds {
  /** How many arrays and objects may stand inside each other. */
  readonly maxDepth: number
  /** How many arrays and objects there may be in all. */
  readonly maxContainers: number
}

/**
 * Parses JSON that a stranger may have written. Throws a SyntaxError for what JSON.parse refuses, for text beyond the
 * bounds (before it takes memory), for an object with a key twice, of which readers take different ones (RFC 8259,
 * section 4), and for the key `__proto__`.
 */
export function parseStrictJson(text: string, bounds: JsonBounds): unknown {
  checkStructure(text, bounds)
  return JSON.parse(text)
}

/** Knows nothing of JSON but strings and brackets; what is wrong otherwise is for JSON.parse to say. */
function checkStructure(text: string, bounds: JsonBounds): void {
  const open: (Set<string> | undefined)[] = []
  let containers = 0
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charAt(at)) {
      case '{':
      case '[':
        containers += 1
        open.push(undefined)
        checkBounds(open.length, containers, bounds)
        break
      case '}':
      case ']':
        open.pop()
        break
      case '"': {
        const end = endOfString(text, at)
        if (isKey(text, end)) open[open.length - 1] = withKey(open.at(-1), text.slice(at, end + 1))
        at = end
      }
    }
  }
}

function checkBounds(depth: number, containers: number, { maxDepth, maxContainers }: JsonBounds): void {
  if (depth > maxDepth) throw new SyntaxError(`it is nested more than ${maxDepth} deep`)
  if (containers > maxContainers) throw new SyntaxError(`it has more than ${maxContainers} arrays and objects`)
}

/** Where the quote is that ends the string beginning at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let first = end
    while (text.charAt(first - 1) === '\\') first -= 1
    if ((end - first) % 2 === 0) return end
  }
  return text.length
}

function isKey(text: string, end: number): boolean {
  let next = end + 1
  while (' \t\n\r'.includes(text.charAt(next)) && next < text.length) next += 1
  return text.charAt(next) === ':'
}

function withKey(keys: Set<string> | undefined, quoted: string): Set<string> {
  const key = quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1)
  if (key === '__proto__') throw new SyntaxError('it has the key "__proto__"')
  if (keys?.has(key) === true) throw new SyntaxError(`it has the key ${JSON.stringify(key.slice(0, 100))} twice`)
  return (keys ?? new Set()).add(key)
}
