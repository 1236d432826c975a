import { AgentError } from '../lib/errors.ts'

/** What AWS IoT sends on `/rejected` ("Device provisioning MQTT API"). */
export interface ProvisioningRejected {
  readonly statusCode?: number
  readonly errorCode?: string
  readonly errorMessage?: string
}

export interface ProvisioningContext {
  readonly operation: string
  readonly template: string
  readonly clientId: string
  /** Whose certificate asks: that of the claim, or, in a rotation, that of the appliance. */
  readonly asker: Asker
}

export type Asker = 'claim' | 'appliance'

/** The policy that lets a certificate use fleet provisioning, as a noun. */
export function policyOf(asker: Asker): string {
  return asker === 'claim'
    ? 'the policy of the claim (config/cloud/provisioning/iot-claim-policy.json)'
    : "a policy of the appliance's certificate (config/cloud/provisioning/iot-rotation-policy.json)"
}

/** AWS IoT refused a request of fleet provisioning, which so had no effect. */
export class ProvisioningError extends AgentError {
  override readonly name = 'ProvisioningError'
  readonly statusCode: number
  readonly errorCode: string

  constructor(rejected: ProvisioningRejected, context: ProvisioningContext) {
    const { statusCode = 0, errorCode = 'no code', errorMessage = '' } = rejected
    const text = errorMessage === '' ? '' : `: ${errorMessage}`
    const isPassing = statusCode === 429 || statusCode >= 500 || errorCode === tokenRefused
    const hint = hintFor(statusCode, errorCode, context)
    super(`${context.operation}: ${statusCode} ${errorCode}${text}`, {
      retryable: isPassing,
      retrySlowly: false, // the back-off of provisioning is longer than that
      isOverloaded: statusCode === 429,
      ...(hint === undefined ? {} : { hint }),
    })
    this.statusCode = statusCode
    this.errorCode = errorCode
  }
}

const tokenRefused = 'InvalidCertificateOwnershipToken'

function hintFor(statusCode: number, errorCode: string, context: ProvisioningContext): string | undefined {
  const { operation, template, clientId, asker } = context
  if (errorCode === tokenRefused || statusCode >= 500) return undefined
  if (statusCode === 429)
    return 'more appliances ask than the quota of the account lets through: they wait, or have it raised'
  if (operation !== 'RegisterThing') {
    return `see that ${policyOf(asker)} is there and lets it ask`
  }
  switch (statusCode) {
    case 403:
      return (
        `the pre-provisioning hook does not let ${clientId} in, or the template ${template} is disabled: ` +
        "see the hook's log in CloudWatch Logs, and whether the serial number is the one that was registered"
      )
    case 404:
      return `there is no template ${template} in this account and region: create it, or mend provisioning.template`
    default:
      return `see that provisioning.parameters are what the template ${template} asks for`
  }
}
