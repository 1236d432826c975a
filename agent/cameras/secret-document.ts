import * as z from 'zod'

import { AgentError } from '../lib/errors.ts'

/** What a camera's secret says. Empty strings where a camera needs none. */
export interface CameraSecret {
  readonly username: string
  readonly password: string
  readonly streamUrl: string
}

const field = z.string().max(4096)
const lowerCase = z.object({ username: field, password: field, streamUrl: field.default('') })
/** The spelling of AWS Panorama's camera stream fields. */
const capitalised = z
  .object({ Username: field, Password: field, StreamUrl: field.default('') })
  .transform(({ Username, Password, StreamUrl }) => ({ username: Username, password: Password, streamUrl: StreamUrl }))

/**
 * Reads `{"username","password","streamUrl"}`, or the same with capital letters; other fields are let pass. Throws an
 * AgentError that names the faulty fields and shows no value.
 */
export function parseCameraSecret(text: string | undefined): CameraSecret {
  if (text === undefined) throw malformed('it holds binary data, not text')
  const json = parseJson(text)
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw malformed('it is not a JSON object')
  const schema = 'Username' in json || 'Password' in json ? capitalised : lowerCase
  const { success, data, error } = schema.safeParse(json)
  if (success) return data
  throw malformed(error.issues.map(({ path, code }) => `${path.join('.')} (${code})`).join(', '))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function malformed(what: string): AgentError {
  return new AgentError(`the secret cannot be read as camera credentials: ${what}`, {
    retryable: true,
    hint: 'store JSON with the strings username, password and streamUrl in the secret',
  })
}
