import * as z from 'zod'

import { AgentError } from '../lib/errors.ts'
import { parseStrictJson } from '../lib/strict-json.ts'
import { parseStreamUrl, withoutCredentials } from './stream-url.ts'

/** What a camera's secret says. Empty strings where a camera needs none. */
export interface CameraSecret {
  readonly username: string
  readonly password: string
  /** Without user info. */
  readonly streamUrl: string
}

const maxNameLength = 1024
const maxUrlLength = 4096
const jsonBounds = { maxDepth: 16, maxContainers: 1000 }

const fields = ['username', 'password', 'streamUrl'] as const
/** The spelling of AWS Panorama's camera stream fields. */
const capitalisedFields = ['Username', 'Password', 'StreamUrl'] as const

/**
 * Reads `{"username","password","streamUrl"}`, the same with capital letters, or the plain text `username:password`.
 * Other fields of the JSON are let pass. Where user name and password are empty, those in the stream URL count. Throws
 * an AgentError that names the secret and what is wrong, field by field, and shows no value.
 */
export function parseCameraSecret(text: string | undefined, secretId: string): CameraSecret {
  try {
    if (text === undefined) throw new Malformed(['it holds binary data, not text'])
    const readable = text.replace(/^\uFEFF/, '')
    return checked(/^\s*["[{]/.test(readable) ? fromJson(readable) : fromPlainText(readable.replace(/\r?\n$/, '')))
  } catch (error) {
    if (error instanceof Malformed) throw asAgentError(error, secretId)
    throw error
  }
}

/** What is wrong, each as a clause. */
class Malformed extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super('malformed')
    this.faults = faults
  }
}

function fromJson(text: string): CameraSecret {
  const { success, data: document } = z.record(z.string(), z.unknown()).safeParse(parseJson(text))
  if (!success) throw new Malformed(['it is not a JSON object'])
  const lower = fields.filter((field) => field in document)
  const capitalised = capitalisedFields.filter((field) => field in document)
  const [one] = lower
  const [other] = capitalised
  if (one !== undefined && other !== undefined) {
    throw new Malformed([`it mixes two spellings, ${one} and ${other}`])
  }
  const [username, password, streamUrl] = capitalised.length > 0 ? capitalisedFields : fields
  const faults = [
    ...textFaults(document, username, { isRequired: true }),
    ...textFaults(document, password, { isRequired: true }),
    ...textFaults(document, streamUrl, { isRequired: false }),
  ]
  if (faults.length > 0) throw new Malformed(faults)
  return withUserInfoTaken({
    username: textOf(document, username),
    password: textOf(document, password),
    streamUrl: textOf(document, streamUrl),
  })
}

/** Keys that are there twice are refused: which one counts is not for us to guess. */
function parseJson(text: string): unknown {
  try {
    return parseStrictJson(text, jsonBounds)
  } catch {
    throw new Malformed(['it is not JSON, or has a field twice']) // what the parser says shows a piece of the text
  }
}

function textFaults(
  document: Readonly<Record<string, unknown>>,
  field: string,
  { isRequired }: { readonly isRequired: boolean },
): readonly string[] {
  const value = document[field]
  if (value === undefined) return isRequired ? [`${field} is missing`] : []
  return typeof value === 'string' ? [] : [`${field} is not a string`]
}

function textOf(document: Readonly<Record<string, unknown>>, field: string): string {
  const value = document[field]
  return typeof value === 'string' ? value : ''
}

function withUserInfoTaken({ username, password, streamUrl }: CameraSecret): CameraSecret {
  const inUrl = username === '' && password === '' ? parseStreamUrl(streamUrl)?.credentials : undefined
  return { ...(inUrl ?? { username, password }), streamUrl: withoutCredentials(streamUrl) }
}

/** The first colon ends the user name, as in RFC 7617. */
function fromPlainText(text: string): CameraSecret {
  const colon = text.indexOf(':')
  if (colon === -1) throw new Malformed(['it is neither a JSON object nor username:password'])
  if (text.startsWith('//', colon + 1)) {
    throw new Malformed(['it is a URL alone, which belongs into the field streamUrl of a JSON object'])
  }
  return { username: text.slice(0, colon), password: text.slice(colon + 1), streamUrl: '' }
}

function checked(secret: CameraSecret): CameraSecret {
  const faults = fields.flatMap((field) => {
    const text = secret[field]
    const maxLength = field === 'streamUrl' ? maxUrlLength : maxNameLength
    return [
      ...(text.length > maxLength ? [`${field} is longer than ${maxLength} characters`] : []),
      // a line break would end a header of the request, or a line of whatever reads the file
      ...(/\p{Cc}/u.test(text) || !text.isWellFormed() ? [`${field} holds a control character`] : []),
    ]
  })
  if (isBrokenUrl(secret.streamUrl)) faults.push('streamUrl is no URL of a camera: look at its host and port')
  if (faults.length > 0) throw new Malformed(faults)
  return secret
}

/** No camera could be asked there, so that the slip of a pen would replace what the camera takes. */
function isBrokenUrl(streamUrl: string): boolean {
  const isRtsp = /^\s*rtsps?:[\x20-\x7e]*$/i.test(streamUrl) // others, and names beyond ASCII, are not for us to judge
  return isRtsp && parseStreamUrl(streamUrl) === undefined
}

/** Retryable: it may be mended at any time. */
function asAgentError({ faults }: Malformed, secretId: string): AgentError {
  return new AgentError(`the secret ${secretId} cannot be read as camera credentials: ${faults.join(', ')}`, {
    retryable: true,
    hint: 'store JSON with the strings username, password and streamUrl in the secret, or the text username:password',
  })
}
