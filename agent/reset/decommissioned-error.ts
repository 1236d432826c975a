import { AgentError } from '../lib/errors.ts'

/** The appliance was decommissioned, but files with an identity are still there. It must not go on with them. */
export class DecommissionedError extends AgentError {
  override readonly name = 'DecommissionedError'
}
