import { withDeadline } from '../lib/abort.ts'
import { DeadlineError } from '../lib/errors.ts'
import { AwsError, translateAwsError, type AwsRequest } from './aws-errors.ts'

export interface AwsCallOptions extends AwsRequest {
  readonly signal: AbortSignal
  /** The bound on one try, the SDK's own retries included. Default 60 s. */
  readonly withinMs?: number
}

/**
 * Runs one SDK call. Expired or unknown credentials are invalidated once, whatever status or service says so, and the
 * call is tried once more with fresh ones. Throws an AwsError, a DeadlineError, what the credentials threw, or the
 * signal's reason. The signal given to `run` ends with the call: a body that is read later needs the caller's own.
 */
export type AwsCall = <T>(options: AwsCallOptions, run: (signal: AbortSignal) => Promise<T>) => Promise<T>

export interface AwsCallDeps {
  readonly credentials: {
    /** The access key id in use, if any. */
    readonly currentKeyId: () => string | undefined
    /** Drops the credentials with that access key id, unless newer ones have taken their place already. */
    readonly invalidate: (accessKeyId: string | undefined) => void
  }
  /** Called after a failure of the connection or a time-out, to close the idle sockets that share its path. */
  readonly onConnectionFailure: () => void
}

const defaultWithinMs = 60_000

export function createAwsCall({ credentials, onConnectionFailure }: AwsCallDeps): AwsCall {
  return async (options, run) => {
    const attempt = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
      try {
        const { signal, withinMs = defaultWithinMs, service, operation } = options
        return await withDeadline({ signal, withinMs, what: `${service}:${operation}` }, work)
      } catch (error) {
        options.signal.throwIfAborted() // whatever the SDK makes of it, the caller's abort is no failure of AWS
        const translated = translateAwsError(error, options)
        if (isConnectionFailure(translated)) onConnectionFailure()
        throw translated
      }
    }
    const keyId = credentials.currentKeyId()
    try {
      return await attempt(run)
    } catch (error) {
      if (!(error instanceof AwsError) || error.failure !== 'expired-credentials') throw error
      credentials.invalidate(keyId)
      return await attempt(run)
    }
  }
}

/** A request that ran out of time counts as well: on a line that went away, the idle sockets hang like its own. */
function isConnectionFailure(error: unknown): boolean {
  if (error instanceof DeadlineError) return true
  return error instanceof AwsError && (error.failure === 'network' || error.failure === 'certificate')
}
