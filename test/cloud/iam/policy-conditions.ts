import type { PolicyCondition } from './policy-document.ts'
import { type ContextLookup, expandPattern, expandText, matchesArn, matchesPattern } from './policy-pattern.ts'

type Comparison = (actual: string, value: string, lookup: ContextLookup) => boolean

interface Operator {
  readonly compare: Comparison
  /** Holds when no value matches, and also when the key is missing. */
  readonly negated: boolean
}

const suffixIfExists = 'IfExists'

/** Whether the evaluator knows the operator, `...IfExists` included. Null has no IfExists form. */
export function isKnownOperator(name: string): boolean {
  return name === 'Null' || operators.has(baseName(name))
}

/** Whether the operator asks that no value matches. */
export function isNegatedOperator(name: string): boolean {
  return operators.get(baseName(name))?.negated === true
}

/**
 * Whether one key of a Condition block holds: one of its values has to match, or none under a negated operator. A
 * missing key matches nothing, which fulfils only negated operators, `...IfExists` and Null "true" ("IAM JSON policy
 * elements: Condition operators"). Throws on an operator that `isKnownOperator` refuses.
 */
export function conditionHolds({ operator, key, values }: PolicyCondition, lookup: ContextLookup): boolean {
  const actual = lookup(key)
  if (operator === 'Null') return values.includes(String(actual === undefined))
  const known = operators.get(baseName(operator))
  if (known === undefined) throw new Error(`the condition operator "${operator}" is not known`)
  if (actual === undefined) return known.negated || operator.endsWith(suffixIfExists)
  return values.some((value) => known.compare(actual, value, lookup)) !== known.negated
}

const equals: Comparison = (actual, value, lookup) => actual === expandText(value, lookup)
const equalsIgnoreCase: Comparison = (actual, value, lookup) =>
  actual.toLowerCase() === expandText(value, lookup)?.toLowerCase()
const like: Comparison = (actual, value, lookup) => {
  const pattern = expandPattern(value, lookup)
  return pattern !== undefined && matchesPattern(pattern, actual)
}
const arnLike: Comparison = (actual, value, lookup) => {
  const pattern = expandPattern(value, lookup)
  return pattern !== undefined && matchesArn(pattern, actual)
}
const bool: Comparison = (actual, value) => actual.toLowerCase() === value.toLowerCase()

const operators: ReadonlyMap<string, Operator> = new Map([
  ['StringEquals', { compare: equals, negated: false }],
  ['StringNotEquals', { compare: equals, negated: true }],
  ['StringEqualsIgnoreCase', { compare: equalsIgnoreCase, negated: false }],
  ['StringNotEqualsIgnoreCase', { compare: equalsIgnoreCase, negated: true }],
  ['StringLike', { compare: like, negated: false }],
  ['StringNotLike', { compare: like, negated: true }],
  ['ArnEquals', { compare: arnLike, negated: false }],
  ['ArnNotEquals', { compare: arnLike, negated: true }],
  ['ArnLike', { compare: arnLike, negated: false }],
  ['ArnNotLike', { compare: arnLike, negated: true }],
  ['Bool', { compare: bool, negated: false }],
])

function baseName(operator: string): string {
  return operator.endsWith(suffixIfExists) ? operator.slice(0, -suffixIfExists.length) : operator
}
