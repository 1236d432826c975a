import * as z from 'zod'

import type { FetchedCredentials } from '../credentials/credential-source.ts'
import { CredentialsError, type CredentialsRequest } from './iot-credential-errors.ts'

const answerSchema = z.object({
  credentials: z.object({
    accessKeyId: z.string().min(1),
    secretAccessKey: z.string().min(1),
    sessionToken: z.string().min(1),
    expiration: z.iso.datetime({ offset: true }),
  }),
})

export interface AnswerContext {
  readonly request: CredentialsRequest
  /** Cloud time at the answer, in milliseconds since 1970. */
  readonly nowMs: number
  /** Whether a server told that time. */
  readonly timeIsKnown: boolean
}

/** The bounds of credentialDurationSeconds (AWS IoT API Reference, CreateRoleAlias). */
const shortestLifetimeMs = 900_000
const longestLifetimeMs = 43_200_000

/**
 * Reads `{"credentials":{accessKeyId,secretAccessKey,sessionToken,expiration}}`. The lifetime is reckoned by cloud
 * time, never by the system clock alone: while no server has told the time and the expiration makes no sense, the
 * shortest lifetime that AWS gives is assumed. Throws a CredentialsError that names the faulty fields and no value.
 */
export function parseIotCredentials(body: string, context: AnswerContext): FetchedCredentials {
  const { success, data, error } = answerSchema.safeParse(parseJson(body))
  if (!success) {
    const fields = error.issues.map(({ path }) => path.join('.') || 'the whole').join(', ')
    throw badAnswer(`the answer cannot be read (${fields})`, context)
  }
  const { expiration, ...keys } = data.credentials
  return { ...keys, lifetimeMs: lifetimeOf(expiration, context) }
}

function lifetimeOf(expiration: string, context: AnswerContext): number {
  const lifetimeMs = Date.parse(expiration) - context.nowMs
  if (lifetimeMs > 0 && lifetimeMs <= longestLifetimeMs + shortestLifetimeMs) return lifetimeMs
  if (!context.timeIsKnown) return shortestLifetimeMs
  throw badAnswer(`their expiration, ${expiration}, makes no sense`, context)
}

function badAnswer(text: string, { request }: AnswerContext): CredentialsError {
  return new CredentialsError('bad-answer', request, { text, status: 200 })
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
