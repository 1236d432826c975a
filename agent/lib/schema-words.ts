import { AgentError } from './errors.ts'
import { pathText } from './json-object.ts'

/** What a schema found wrong with a value, as zod's error maps are given it. */
export interface SchemaIssue {
  readonly code?: string | undefined
  readonly input?: unknown
  readonly [detail: string]: unknown
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
  null: 'null',
  undefined: 'left out',
}

const formats: Readonly<Record<string, string>> = {
  datetime: 'must be an instant in UTC, such as 2027-01-01T00:00:00Z',
  url: 'must be a URL',
}

/**
 * Words what is wrong where a schema has no words of its own: a clause that goes on from the path of the field. Every schema of
 * what people write is used with this, so that they read the same words wherever they made the mistake. Shows no value.
 */
export function schemaWords(issue: SchemaIssue): string {
  const { code, input } = issue
  if (input === undefined && (code === 'invalid_type' || code === 'invalid_value')) return 'is missing'
  switch (code) {
    case 'invalid_type':
      return `must be ${typeName(issue['expected'])}, and is ${typeOf(input)}`
    case 'invalid_value':
      return oneOf(issue['values'])
    case 'invalid_union':
      return Array.isArray(issue['options']) ? oneOf(issue['options']) : 'is none of what it may be'
    case 'too_small':
      return bound(issue, { isLower: true, limit: Number(issue['minimum']) })
    case 'too_big':
      return bound(issue, { isLower: false, limit: Number(issue['maximum']) })
    case 'not_multiple_of':
      return `must be a multiple of ${String(issue['divisor'])}`
    case 'invalid_format':
      return format(issue)
    case 'unrecognized_keys':
      return `has fields that are not known: ${listed(issue['keys'])}`
    case 'invalid_key':
      return 'is no name that can be used here'
    default:
      return 'is not valid'
  }
}

const maxShown = 5

/** What a schema without these words threw, in short: where the value is at fault. Any other error is given back. */
export function schemaFault(error: unknown): unknown {
  if (!(error instanceof Error) || !('issues' in error) || !Array.isArray(error.issues)) return error
  const paths = error.issues.slice(0, maxShown).map((issue: unknown) => pathOf(issue))
  return new AgentError(`it is at fault at ${paths.join(', ')}`)
}

function pathOf(issue: unknown): string {
  const path: unknown = typeof issue === 'object' && issue !== null && 'path' in issue ? issue.path : undefined
  const keys = Array.isArray(path) ? path.map((key: unknown) => (typeof key === 'number' ? key : String(key))) : []
  return keys.length === 0 ? 'the whole of it' : pathText(keys)
}

function typeName(type: unknown): string {
  return typeNames[String(type)] ?? String(type)
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' && !Number.isInteger(value)) return 'a number with a fraction'
  return typeName(typeof value)
}

function oneOf(values: unknown): string {
  const isOne = Array.isArray(values) && values.length === 1
  return `must be ${isOne ? '' : 'one of '}${listed(values)}`
}

function listed(values: unknown): string {
  return Array.isArray(values) ? values.map((value) => JSON.stringify(value)).join(', ') : 'unknown'
}

interface Bound {
  readonly isLower: boolean
  readonly limit: number
}

function bound({ origin, inclusive }: SchemaIssue, { isLower, limit }: Bound): string {
  if (origin === 'string' || origin === 'array') {
    if (isLower && limit === 1) return 'must not be empty'
    const many = limit !== 1
    const unit = origin === 'string' ? (many ? 'characters' : 'character') : many ? 'entries' : 'entry'
    return `must have at ${isLower ? 'least' : 'most'} ${limit} ${unit}`
  }
  if (inclusive === false) return `must be ${isLower ? 'more' : 'less'} than ${limit}`
  return `must be at ${isLower ? 'least' : 'most'} ${limit}`
}

function format({ format: name, pattern, prefix, suffix }: SchemaIssue): string {
  switch (name) {
    case 'regex':
      return `must match ${String(pattern)}`
    case 'starts_with':
      return `must begin with ${JSON.stringify(prefix)}`
    case 'ends_with':
      return `must end with ${JSON.stringify(suffix)}`
    default:
      return formats[String(name)] ?? `must be a valid ${String(name)}`
  }
}
