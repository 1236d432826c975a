import { AgentError } from '../../lib/errors.ts'

export interface RtspFaultOptions {
  readonly outcome: 'unreachable' | 'unclear'
  /** Whether the connection ended before anything of an answer came. */
  readonly isWithoutAnswer?: boolean
  readonly cause?: unknown
}

/** A conversation with a camera that came to nothing. The message holds nothing that the camera sent, and no URL. */
export class RtspFault extends AgentError {
  override readonly name = 'RtspFault'
  readonly outcome: 'unreachable' | 'unclear'
  readonly isWithoutAnswer: boolean

  constructor(message: string, { outcome, isWithoutAnswer = false, cause }: RtspFaultOptions) {
    super(message, { retryable: true, cause })
    this.outcome = outcome
    this.isWithoutAnswer = isWithoutAnswer
  }
}
