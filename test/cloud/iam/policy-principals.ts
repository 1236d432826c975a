import type { PolicyStatement } from './policy-document.ts'

/** Who asks: a user, role or role session by its ARN, or an AWS service. */
export type AccessPrincipal =
  | { readonly kind: 'AWS'; readonly arn: string; readonly account: string }
  | { readonly kind: 'Service'; readonly service: string }

/**
 * Whether a statement is about this principal ("AWS JSON policy elements: Principal"). An identity policy has no
 * Principal and is about whoever it is attached to.
 */
export function matchesPrincipals({ principals, effect }: PolicyStatement, principal: AccessPrincipal): boolean {
  if (principals === undefined) return true
  const everyone = principals['*'] !== undefined || principals['AWS']?.includes('*') === true
  switch (principal.kind) {
    case 'AWS':
      return everyone || (principals['AWS'] ?? []).some((name) => namesPrincipal(name, principal))
    case 'Service':
      // The document does not say whether a bare * covers services, so it does so only where that denies.
      return (everyone && effect === 'Deny') || principals['Service']?.includes(principal.service) === true
  }
}

function namesPrincipal(name: string, { arn, account }: { readonly arn: string; readonly account: string }): boolean {
  if (name === arn || name === account) return true
  const [, partition, service, , owner, rest = ''] = name.split(':')
  if (service !== 'iam' || owner !== account || partition !== arn.split(':')[1]) return false
  return rest === 'root' || (rest.startsWith('role/') && isSessionOf(arn, rest.slice('role/'.length)))
}

function isSessionOf(arn: string, rolePathAndName: string): boolean {
  const [kind, role, session] = (arn.split(':')[5] ?? '').split('/')
  // A session's ARN lacks the path of its role, which is no loss: role names are unique within an account.
  return kind === 'assumed-role' && role === rolePathAndName.split('/').at(-1) && session !== undefined
}
