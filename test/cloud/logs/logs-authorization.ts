import { ServiceFault, type ServiceContext } from '../contract.ts'
import type { evaluatePolicies } from '../iam/evaluate.ts'

/** Throws AccessDeniedException unless the role's policies allow the action; log groups have no policy of their own. */
export type AuthorizeLogs = (action: string, resource: string) => void

export function createLogsAuthorizer(
  { caller }: Pick<ServiceContext, 'caller'>,
  evaluate: typeof evaluatePolicies,
): AuthorizeLogs {
  return (action, resource) => {
    const decision = evaluate(caller.policies, {
      principal: { kind: 'AWS', arn: caller.arn, account: caller.account },
      action: `logs:${action}`,
      resource,
      context: {
        ...caller.context,
        'aws:PrincipalArn': caller.roleArn,
        'aws:PrincipalAccount': caller.account,
        'aws:SecureTransport': 'true',
      },
    })
    if (decision === 'allowed') return
    const reason =
      decision === 'explicit-deny'
        ? 'with an explicit deny in an identity-based policy'
        : `because no identity-based policy allows the logs:${action} action`
    const message = `User: ${caller.arn} is not authorized to perform: logs:${action} on resource: ${resource} ${reason}`
    throw new ServiceFault(400, 'AccessDeniedException', message)
  }
}

/**
 * The ARN that an action is decided on. Actions on a stream, and those on all streams of a group, have `:log-stream:`
 * behind the group, as AWS's refusals show; CreateLogGroup has the group's name only.
 */
export function logGroupArn(home: LogsHome, group: string): string {
  return `arn:aws:logs:${home.region}:${home.account}:log-group:${group}`
}

export function logStreamArn(home: LogsHome, group: string, stream = ''): string {
  return `${logGroupArn(home, group)}:log-stream:${stream}`
}

export interface LogsHome {
  readonly account: string
  readonly region: string
}
