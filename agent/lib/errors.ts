/** What every error of ours carries besides its message. */
export interface AgentErrorOptions {
  /** Whether the same attempt can succeed later without a person doing something. Default false. */
  readonly retryable?: boolean
  /** Whether another attempt had better wait for long. Default: when it is not retryable. */
  readonly retrySlowly?: boolean
  /** What the operator does next, as an imperative sentence. */
  readonly hint?: string
  readonly cause?: unknown
  /** How long the other side asks to be left alone. */
  readonly retryAfterMs?: number | undefined
  /** Whether the other side has more requests than it can take: everybody who asks it had better wait. Default false. */
  readonly isOverloaded?: boolean
}

/** The base of every error that the agent throws on purpose. Messages and hints never hold secret values. */
export class AgentError extends Error {
  override readonly name: string = 'AgentError'
  readonly retryable: boolean
  readonly retrySlowly: boolean
  readonly hint: string | undefined
  readonly retryAfterMs: number | undefined
  readonly isOverloaded: boolean

  constructor(message: string, options: AgentErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.retryAfterMs = options.retryAfterMs
    this.isOverloaded = options.isOverloaded ?? false
    this.retryable = options.retryable ?? false
    this.retrySlowly = options.retrySlowly ?? !this.retryable
    this.hint = options.hint
  }
}

/** A command cannot do what it was told, as it was told. */
export class UsageError extends AgentError {
  override readonly name = 'UsageError'
}

/** Something did not happen in the time that it was given. Always worth another try. */
export class DeadlineError extends AgentError {
  override readonly name = 'DeadlineError'

  constructor(what: string, afterMs: number) {
    super(`${what} did not finish within ${afterMs} ms`, { retryable: true })
  }
}

/** An error as the status document and log fields show it. */
export interface ErrorReport {
  readonly name: string
  readonly message: string
  readonly hint?: string
}

/** Describes anything thrown, with the messages of its causes, without stacks. */
export function reportError(error: unknown): ErrorReport {
  const hint = findHint(error)
  return {
    name: error instanceof Error ? error.name : 'NonError',
    message: causes(error).join(': '),
    ...(hint === undefined ? {} : { hint }),
  }
}

/** The `code` that Node's system and TLS errors carry, looked up through the causes. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'string') return error.code
  return errorCode(error.cause)
}

const deepestCause = 5
/** The agent loads some of its parts when it first needs them, and an upgrade removes those of the version before. */
const replacedHint =
  'restart the agent (systemctl restart panorama-agent): its program was replaced while it ran; else install it again'

function causes(error: unknown, depth = 0): readonly string[] {
  if (!(error instanceof Error)) return [String(error)]
  if (error.cause === undefined || depth === deepestCause) return [error.message]
  const rest = causes(error.cause, depth + 1)
  return error.message === '' ? rest : [error.message, ...rest.filter((text) => !error.message.includes(text))]
}

function findHint(error: unknown, depth = 0): string | undefined {
  if (!(error instanceof Error) || depth > deepestCause) return undefined
  if (error instanceof AgentError && error.hint !== undefined) return error.hint
  if ('code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return replacedHint
  return findHint(error.cause, depth + 1)
}
