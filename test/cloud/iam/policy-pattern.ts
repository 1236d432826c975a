/** Finds the value of a policy variable or condition key. Names are compared without regard to case. */
export type ContextLookup = (name: string) => string | undefined

/** One character of a pattern: itself, or a wildcard. */
type PatternToken = { readonly literal: string } | { readonly wildcard: '*' | '?' }

/** A text with its variables filled in, in which `*` and `?` still mean something. */
export type PolicyPattern = readonly PatternToken[]

/** Looks up request context as IAM does: key names are case-insensitive ("IAM JSON policy elements: Condition"). */
export function contextLookup(context: Readonly<Record<string, string>>): ContextLookup {
  const values = new Map(Object.entries(context).map(([name, value]) => [name.toLowerCase(), value]))
  return (name) => values.get(name.toLowerCase())
}

/**
 * Reads a text of a policy as a pattern. A variable's value stands for itself even where it holds a wildcard, and so
 * do `${*}`, `${?}` and `${$}` ("IAM policy elements: Variables and tags"). Undefined when a variable has no value:
 * such a text matches nothing.
 */
export function expandPattern(text: string, lookup: ContextLookup): PolicyPattern | undefined {
  const pattern: PatternToken[] = []
  for (const [whole, name] of text.matchAll(/\$\{([^}]*)\}|[^]/gu)) {
    if (name === undefined) {
      pattern.push(whole === '*' || whole === '?' ? { wildcard: whole } : { literal: whole })
      continue
    }
    const value = ['*', '?', '$'].includes(name) ? name : lookup(name)
    if (value === undefined) return undefined
    pattern.push(...Array.from(value, (literal) => ({ literal })))
  }
  return pattern
}

/** As `expandPattern`, for operators to which wildcards are plain characters. */
export function expandText(text: string, lookup: ContextLookup): string | undefined {
  return expandPattern(text, lookup)
    ?.map((token) => ('literal' in token ? token.literal : token.wildcard))
    .join('')
}

/** Whether the whole text fits: `*` is any run of characters, colons and slashes included, `?` exactly one. */
export function matchesPattern(pattern: PolicyPattern, text: string): boolean {
  const characters = Array.from(text)
  let at = 0
  let position = 0
  let retry: { readonly at: number; position: number } | undefined
  while (position < characters.length) {
    const token = pattern[at]
    if (token !== undefined && 'wildcard' in token && token.wildcard === '*') {
      at += 1
      retry = { at, position }
    } else if (token !== undefined && ('wildcard' in token || token.literal === characters[position])) {
      at += 1
      position += 1
    } else if (retry !== undefined) {
      retry.position += 1
      at = retry.at
      position = retry.position
    } else {
      return false
    }
  }
  return pattern.slice(at).every((token) => 'wildcard' in token && token.wildcard === '*')
}

/**
 * Matches an ARN component by component: six of them, of which the last keeps its colons, so that a wildcard never
 * reaches into the next one ("IAM JSON policy elements: Condition operators", ARN operators). What has fewer than six
 * is no ARN and matches nothing.
 */
export function matchesArn(pattern: PolicyPattern, arn: string): boolean {
  const wanted = splitPattern(pattern)
  const [partition, ...rest] = arn.split(':')
  const actual = [partition ?? '', ...rest.slice(0, 4), rest.slice(4).join(':')]
  if (wanted.length < arnParts || rest.length < arnParts - 1) return false
  return wanted.every((part, index) => matchesPattern(part, actual[index] ?? ''))
}

const arnParts = 6

function splitPattern(pattern: PolicyPattern): readonly PolicyPattern[] {
  const parts: PatternToken[][] = [[]]
  for (const token of pattern) {
    if (parts.length < arnParts && 'literal' in token && token.literal === ':') parts.push([])
    else parts.at(-1)?.push(token)
  }
  return parts
}
