import { createHash, randomBytes } from 'node:crypto'

import type { Challenge } from './challenges.ts'

export interface Credential {
  readonly username: string
  readonly password: string
}

/** What a credential is sent for. */
export interface AuthorizedRequest {
  readonly method: string
  readonly url: string
  /** Default random. */
  readonly cnonce?: string
}

/** How a challenge is answered: the value of the Authorization header, one character per byte (latin1). */
export interface ChallengeAnswer {
  readonly scheme: 'digest' | 'basic'
  readonly authorization: (request: AuthorizedRequest) => string
}

/**
 * Chooses among the challenges of an answer, the strongest first: Digest with SHA-256, with MD5, Basic. Undefined when
 * there is none that this credential can be sent for. Sources: RFC 7616 and 2617 (Digest), RFC 7617 (Basic).
 */
export function answerChallenges(
  challenges: readonly Challenge[],
  credential: Credential,
): ChallengeAnswer | undefined {
  const answers = challenges.flatMap((challenge) => rankedAnswer(challenge, credential) ?? [])
  return answers.toSorted((one, other) => other.rank - one.rank)[0]?.answer // of equal ones the first stays the first
}

/** Whether the answer to a request with a digest says that it was right, but for a nonce that is too old. */
export function isStale(challenges: readonly Challenge[]): boolean {
  return challenges.some(
    ({ scheme, parameters }) => scheme === 'digest' && parameters.get('stale')?.toLowerCase() === 'true',
  )
}

interface RankedAnswer {
  readonly rank: number
  readonly answer: ChallengeAnswer
}

const algorithms = new Map([
  ['sha-256-sess', { hash: 'sha256', rank: 4, isSession: true }],
  ['sha-256', { hash: 'sha256', rank: 4, isSession: false }],
  ['md5-sess', { hash: 'md5', rank: 3, isSession: true }],
  ['md5', { hash: 'md5', rank: 3, isSession: false }],
])

function rankedAnswer(challenge: Challenge, credential: Credential): RankedAnswer | undefined {
  if (challenge.scheme === 'basic') return basic(credential)
  return challenge.scheme === 'digest' ? digest(challenge.parameters, credential) : undefined
}

function basic({ username, password }: Credential): RankedAnswer | undefined {
  if (username.includes(':')) return undefined // it would be read as another user's
  const authorization = `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
  return { rank: 1, answer: { scheme: 'basic', authorization: () => authorization } }
}

function digest(parameters: Challenge['parameters'], credential: Credential): RankedAnswer | undefined {
  const algorithm = algorithms.get(parameters.get('algorithm')?.toLowerCase() ?? 'md5')
  const qop = chooseQop(parameters.get('qop'))
  if (algorithm === undefined || qop === undefined || parameters.get('nonce') === undefined) return undefined
  const authorization = (request: AuthorizedRequest): string => {
    const { cnonce = randomBytes(16).toString('hex') } = request
    return digestHeader({ parameters, algorithm, qop, cnonce, request, ...encoded(credential, parameters) })
  }
  return { rank: algorithm.rank, answer: { scheme: 'digest', authorization } }
}

/** '' for the way of before qop (RFC 2069); undefined when there is none that we know. */
function chooseQop(offered: string | undefined): 'auth' | 'auth-int' | '' | undefined {
  if (offered === undefined) return ''
  const options = offered.toLowerCase().split(/[\s,]+/)
  if (options.includes('auth')) return 'auth'
  return options.includes('auth-int') ? 'auth-int' : undefined
}

/** The bytes of UTF-8, one character each; normalised where the camera says which charset it reads (RFC 7616, 4). */
function encoded({ username, password }: Credential, parameters: Challenge['parameters']): Credential {
  const isUtf8 = parameters.get('charset')?.toLowerCase() === 'utf-8'
  const bytes = (text: string): string => Buffer.from(isUtf8 ? text.normalize('NFC') : text, 'utf8').toString('latin1')
  return { username: bytes(username), password: bytes(password) }
}

interface DigestInput extends Credential {
  readonly parameters: Challenge['parameters']
  readonly algorithm: { readonly hash: string; readonly isSession: boolean }
  readonly qop: 'auth' | 'auth-int' | ''
  readonly cnonce: string
  readonly request: AuthorizedRequest
}

/** Each nonce is used once, so its count is always 1. */
const nonceCount = '00000001'

function digestHeader(input: DigestInput): string {
  const { parameters, qop, cnonce, username, request } = input
  const fields = [
    ...usernameField(username, parameters),
    `realm=${quote(parameters.get('realm') ?? '')}`,
    `nonce=${quote(parameters.get('nonce') ?? '')}`,
    `uri=${quote(request.url)}`,
    `response="${digestResponse(input)}"`,
    ...echoed('algorithm', parameters, (value) => value),
    ...echoed('opaque', parameters, quote),
    ...(qop === '' ? [] : [`qop=${qop}`, `nc=${nonceCount}`]),
    ...(qop === '' && !input.algorithm.isSession ? [] : [`cnonce="${cnonce}"`]),
  ]
  return `Digest ${fields.join(', ')}`
}

/** RFC 7616 section 3.4.1 to 3.4.3. */
function digestResponse({ parameters, algorithm, qop, cnonce, request, username, password }: DigestInput): string {
  const hash = (text: string): string => createHash(algorithm.hash).update(text, 'latin1').digest('hex')
  const nonce = parameters.get('nonce') ?? ''
  const user = hash(`${username}:${parameters.get('realm') ?? ''}:${password}`)
  const secret = algorithm.isSession ? hash(`${user}:${nonce}:${cnonce}`) : user
  const body = qop === 'auth-int' ? `:${hash('')}` : '' // our requests have none
  const asked = hash(`${request.method}:${request.url}${body}`)
  return qop === ''
    ? hash(`${secret}:${nonce}:${asked}`)
    : hash(`${secret}:${nonce}:${nonceCount}:${cnonce}:${qop}:${asked}`)
}

/** RFC 7616 section 3.4: other than ASCII goes by RFC 5987, to cameras that say that they read UTF-8. */
function usernameField(username: string, parameters: Challenge['parameters']): readonly string[] {
  const isAscii = /^[\x20-\x7e]*$/.test(username)
  if (isAscii || parameters.get('charset')?.toLowerCase() !== 'utf-8') return [`username=${quote(username)}`]
  const percent = Array.from(username, (byte) =>
    /[A-Za-z0-9._~-]/.test(byte) ? byte : `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
  return [`username*=UTF-8''${percent.join('')}`]
}

function echoed(name: string, parameters: Challenge['parameters'], write: (value: string) => string): string[] {
  const value = parameters.get(name)
  return value === undefined ? [] : [`${name}=${write(value)}`]
}

/** A quoted-string (RFC 9110 section 5.6.4). */
function quote(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}
