import { withDeadline } from '../../lib/abort.ts'
import { reportError } from '../../lib/errors.ts'
import type { CameraProbe, ProbeHooks, ProbeOutcome, ProbeTarget } from '../camera-probe.ts'
import { parseStreamUrl, type StreamUrl } from '../stream-url.ts'
import { answerChallenges, isStale, type ChallengeAnswer } from './authorization.ts'
import { CameraLink } from './camera-link.ts'
import { parseChallenges } from './challenges.ts'
import { RtspFault } from './rtsp-fault.ts'
import type { RtspAnswer } from './rtsp-reader.ts'

export interface RtspProbeOptions {
  /** For each connection, TLS included. Default 5 s. */
  readonly connectMs?: number
  /** For the whole probe. Default 15 s. */
  readonly probeMs?: number
}

/**
 * A probe that speaks RTSP (RFC 2326; RFC 7826 for what that leaves open): OPTIONS, then DESCRIBE without a credential,
 * and where that is answered with 401, DESCRIBE with one. It sets up no stream. Redirects are followed on the same host
 * only, and never from rtsps to rtsp.
 */
export function rtspProbe({ connectMs = 5000, probeMs = 15_000 }: RtspProbeOptions = {}): CameraProbe {
  return async (target, hooks, signal) => {
    let ended: AbortSignal | undefined
    try {
      const deadline = { signal, withinMs: probeMs, what: 'the probe of the camera' }
      return await withDeadline(deadline, async (inner) => {
        ended = inner
        return await followRedirects({ target, hooks, connectMs, signal: inner })
      })
    } catch (error) {
      const isOurDeadline = !signal.aborted && ended?.aborted === true && error === ended.reason
      if (isOurDeadline) return { kind: 'unreachable', detail: reportError(error).message }
      throw error
    }
  }
}

interface Conversation {
  readonly target: ProbeTarget
  readonly hooks: ProbeHooks
  readonly connectMs: number
  readonly signal: AbortSignal
}

type Step = ProbeOutcome | { readonly kind: 'redirected'; readonly location: string | undefined }

const maxRedirects = 3

async function followRedirects(conversation: Conversation): Promise<ProbeOutcome> {
  let url = parseStreamUrl(conversation.target.streamUrl)
  if (url === undefined || !isRtsp(url)) return unclear('the stream URL is no URL of rtsp or rtsps')
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const step = await visit(conversation, url)
    if (step.kind !== 'redirected') return step
    const next = redirectTarget(url, step.location)
    if (typeof next === 'string') return unclear(next)
    url = next
  }
  return unclear(`it redirects more than ${maxRedirects} times`)
}

/** Where a redirect leads, or why it is not followed. */
function redirectTarget(from: StreamUrl, location = ''): StreamUrl | string {
  const isPath = location.startsWith('/') && !location.startsWith('//')
  const to = isPath ? { ...from, rest: location } : parseStreamUrl(location)
  if (to === undefined || !isRtsp(to)) return 'it redirects to what is no URL of rtsp or rtsps'
  if (to.host !== from.host) return 'it redirects to another host'
  if (from.scheme === 'rtsps' && to.scheme === 'rtsp') return 'it redirects from rtsps to rtsp'
  return to
}

function isRtsp({ scheme }: StreamUrl): boolean {
  return scheme === 'rtsp' || scheme === 'rtsps'
}

async function visit(conversation: Conversation, url: StreamUrl): Promise<Step> {
  const { target, connectMs, signal } = conversation
  const isTls = url.scheme === 'rtsps'
  const place = { host: url.host, port: url.port ?? (isTls ? 322 : 554), isTls, ca: target.ca }
  using link = new CameraLink({ place, connectMs, signal })
  try {
    return await ask(link, requestUrl(url), conversation)
  } catch (error) {
    if (error instanceof RtspFault) return { kind: error.outcome, detail: error.message }
    throw error
  }
}

/** Without user info and fragment, and with nothing that could end a request line or a quoted string. */
function requestUrl({ scheme, authority, rest }: StreamUrl): string {
  const path = rest.replace(/#.*$/s, '').toWellFormed()
  return `${scheme}://${authority}${path.replaceAll(/[^\x21\x23-\x5b\x5d-\x7e]/gu, encodeURIComponent)}`
}

async function ask(link: CameraLink, url: string, conversation: Conversation): Promise<Step> {
  const options = await optionsAnswer(link, url)
  if (options !== undefined && isRedirect(options)) return redirected(options)
  const answer = await link.request({ method: 'DESCRIBE', url, headers: { Accept: 'application/sdp' } })
  if (isRedirect(answer)) return redirected(answer)
  if (isSuccess(answer)) return { kind: 'accepted' }
  if (answer.status !== 401) return unclear(`it answers ${answer.status} before it is sent a credential`)
  return await attempt(link, url, { ...conversation, challenged: answer })
}

/** What it says to OPTIONS tells nothing of the credential, but some cameras want it first; some end the connection. */
async function optionsAnswer(link: CameraLink, url: string): Promise<RtspAnswer | undefined> {
  try {
    return await link.request({ method: 'OPTIONS', url, headers: {} })
  } catch (error) {
    if (error instanceof RtspFault && error.isWithoutAnswer) return undefined
    throw error
  }
}

/** `challenged` is the answer of 401 to the same request without a credential. */
async function attempt(
  link: CameraLink,
  url: string,
  { target, hooks, signal, challenged }: Conversation & { readonly challenged: RtspAnswer },
): Promise<Step> {
  if (target.username === '' && target.password === '') {
    return { kind: 'refused', detail: 'it asks for a credential, and the secret holds none' }
  }
  if (hasControls(target.username)) return unclear('the user name holds control characters, which cannot be sent')
  const reply = answerChallenges(challengesOf(challenged), target)
  if (reply === undefined) {
    return unclear('it asks for a credential in no way that is known: Digest with SHA-256 or MD5, or Basic')
  }
  await link.connect() // first, so that an attempt is not spent on a camera that went away
  const mayAttempt = async (): Promise<boolean> => {
    const isGiven = await hooks.beforeAttempt()
    signal.throwIfAborted()
    return isGiven
  }
  if (!(await mayAttempt())) return usedUp()
  const answer = await describe(link, url, { reply, mayAttempt })
  if (!(answer.status === 401 && reply.scheme === 'digest' && isStale(challengesOf(answer)))) return verdict(answer)
  const newReply = answerChallenges(challengesOf(answer), target)
  if (newReply?.scheme !== 'digest') return unclear('it calls a nonce stale and gives no other')
  await link.connect()
  if (!(await mayAttempt())) return usedUp()
  const newAnswer = await describe(link, url, { reply: newReply, mayAttempt })
  if (newAnswer.status === 401 && isStale(challengesOf(newAnswer))) return unclear('it calls every nonce stale')
  return verdict(newAnswer)
}

interface Attempting {
  readonly reply: ChallengeAnswer
  /** Asked before the credential is sent once more: the camera may count what it did not answer. */
  readonly mayAttempt: () => Promise<boolean>
}

async function describe(link: CameraLink, url: string, { reply, mayAttempt }: Attempting): Promise<RtspAnswer> {
  const headers = { Accept: 'application/sdp', Authorization: reply.authorization({ method: 'DESCRIBE', url }) }
  return await link.request({ method: 'DESCRIBE', url, headers }, mayAttempt)
}

/**
 * Answers about the stream, not about who asks: not found, not acceptable, unsupported media type, not enough bandwidth,
 * session not found. The same request without the credential was answered with 401, so the credential was taken. Not so
 * 400, which may mean that the header was not understood, nor 5xx, with which a camera may keep off whom it locked out.
 */
const aboutTheStream: readonly number[] = [404, 406, 415, 453, 454]

function verdict(answer: RtspAnswer): Step {
  if (isRedirect(answer)) return redirected(answer)
  if (isSuccess(answer) || aboutTheStream.includes(answer.status)) return { kind: 'accepted' }
  if (answer.status === 401 || answer.status === 403) {
    return { kind: 'refused', detail: `it answers ${answer.status} to the credential` }
  }
  return unclear(`it answers ${answer.status} to a request with the credential`)
}

function challengesOf(answer: RtspAnswer): ReturnType<typeof parseChallenges> {
  return parseChallenges(answer.header('www-authenticate'))
}

function isSuccess({ status }: RtspAnswer): boolean {
  return status >= 200 && status <= 299
}

function isRedirect({ status }: RtspAnswer): boolean {
  return [301, 302, 303, 305, 307, 308].includes(status)
}

function redirected(answer: RtspAnswer): Step {
  return { kind: 'redirected', location: answer.header('location')[0] }
}

function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

function usedUp(): ProbeOutcome {
  return unclear('the attempts that the camera is given are used up')
}

function unclear(detail: string): ProbeOutcome {
  return { kind: 'unclear', detail }
}
