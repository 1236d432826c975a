import { conditionHolds } from './policy-conditions.ts'
import type { PolicyDocument, PolicyStatement } from './policy-document.ts'
import { type ContextLookup, contextLookup, expandPattern, matchesPattern } from './policy-pattern.ts'
import { type AccessPrincipal, matchesPrincipals } from './policy-principals.ts'

export interface AccessRequest {
  readonly principal: AccessPrincipal
  /** Such as `s3:GetObject`. */
  readonly action: string
  /** The full ARN of what is accessed, or `*` for an action that knows no resources. */
  readonly resource: string
  /** Condition keys and policy variables, by their full names. */
  readonly context: Readonly<Record<string, string>>
}

export type AccessDecision = 'allowed' | 'explicit-deny' | 'implicit-deny'

/**
 * Decides about a request as one set of policies does: an applicable Deny wins over every Allow, and what nothing
 * allows is denied ("Policy evaluation logic", IAM User Guide). Where AWS asks two sets, such as the role's policies
 * and an access point's, the caller evaluates each.
 */
export function evaluatePolicies(policies: readonly PolicyDocument[], request: AccessRequest): AccessDecision {
  const lookup = contextLookup(request.context)
  const applicable = policies
    .flatMap(({ statements }) => statements)
    .filter((statement) => applies(statement, request, lookup))
  if (applicable.some(({ effect }) => effect === 'Deny')) return 'explicit-deny'
  return applicable.length > 0 ? 'allowed' : 'implicit-deny'
}

function applies(statement: PolicyStatement, request: AccessRequest, lookup: ContextLookup): boolean {
  return (
    matchesPrincipals(statement, request.principal) &&
    statement.actions.some((action) => matchesAction(action, request.action)) &&
    (statement.resources?.some((resource) => matchesText(resource, request.resource, lookup)) ?? true) &&
    statement.conditions.every((condition) => conditionHolds(condition, lookup))
  )
}

function matchesAction(pattern: string, action: string): boolean {
  return matchesText(pattern.toLowerCase(), action.toLowerCase(), () => undefined)
}

function matchesText(text: string, actual: string, lookup: ContextLookup): boolean {
  const pattern = expandPattern(text, lookup)
  return pattern !== undefined && matchesPattern(pattern, actual)
}
