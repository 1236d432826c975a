import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'

import type { TestCertificate } from './certificates.ts'

export type CameraScheme = 'digest-sha-256' | 'digest-md5' | 'basic'

export interface RtspCameraOptions {
  readonly username?: string
  readonly password?: string
  /** What it takes, in the order in which it says so. Default all three; none: it asks for no credential. */
  readonly schemes?: readonly CameraScheme[]
  /** After so many refusals in a row it answers 403 to everybody until `unlock`. Default never. */
  readonly lockOutAfter?: number
  /** It then speaks rtsps. */
  readonly certificate?: TestCertificate
}

export interface AttemptCounts {
  readonly accepted: number
  readonly refused: number
}

/** A camera that is none: an RTSP server on the loopback interface with a credential, that counts who tries which. */
export interface RtspCamera extends AsyncDisposable {
  readonly port: number
  /** Without user info. */
  readonly streamUrl: string
  readonly setCredential: (username: string, password: string) => void
  /** How often this credential was tried, over all schemes. Every attempt of anybody when none is named. */
  readonly attempts: (credential?: { readonly username: string; readonly password: string }) => AttemptCounts
  /** Requests of any kind, with a credential or without. */
  readonly requests: () => number
  readonly openConnections: () => number
  readonly isLocked: () => boolean
  readonly unlock: () => void
  /** The nonces given out so far are answered with stale=true from now on. */
  readonly expireNonces: () => void
  /** Before each answer. */
  readonly setLatency: (ms: number) => void
  /** `down` refuses connections and ends those there are; `silent` takes them and answers nothing. */
  readonly setReach: (reach: 'up' | 'down' | 'silent') => Promise<void>
}

/** Keeps the port over being `down`. */
export async function startRtspCamera(options: RtspCameraOptions = {}): Promise<RtspCamera> {
  const camera = new StandInCamera(options)
  await camera.listen(0)
  return camera
}

interface RtspRequest {
  readonly method: string
  readonly url: string
  readonly cseq: string
  readonly authorization: string | undefined
}

interface Attempt {
  readonly isAccepted: boolean
  readonly carries: (username: string, password: string) => boolean
}

const sdp = 'v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\n'
const realm = 'camera of the tests'
const hashes = { 'digest-sha-256': ['SHA-256', 'sha256'], 'digest-md5': ['MD5', 'md5'] } as const

class StandInCamera implements RtspCamera {
  readonly #options: RtspCameraOptions
  readonly #sockets = new Set<Socket>()
  readonly #attempts: Attempt[] = []
  readonly #nonces = new Map<string, 'fresh' | 'stale'>()
  readonly #stopped = new AbortController()
  #server: Server | undefined
  #username: string
  #password: string
  #port = 0
  #requests = 0
  #refusedInARow = 0
  #latencyMs = 0
  #isSilent = false

  constructor(options: RtspCameraOptions) {
    this.#options = options
    this.#username = options.username ?? 'admin'
    this.#password = options.password ?? 'correct horse'
  }

  get port(): number {
    return this.#port
  }

  get streamUrl(): string {
    const isTls = this.#options.certificate !== undefined
    return `${isTls ? 'rtsps://localhost' : 'rtsp://127.0.0.1'}:${this.#port}/live`
  }

  async listen(port: number): Promise<void> {
    const { certificate } = this.#options
    const onSocket = (socket: Socket): void => {
      this.#serve(socket)
    }
    const server =
      certificate === undefined
        ? createTcpServer(onSocket)
        : createTlsServer({ cert: certificate.pem, key: certificate.privateKey }, onSocket)
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket) // below TLS, where there is TLS
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port // not a pipe
    this.#server = server
  }

  setCredential(username: string, password: string): void {
    this.#username = username
    this.#password = password
  }

  attempts(credential?: { readonly username: string; readonly password: string }): AttemptCounts {
    const found = this.#attempts.filter(
      ({ carries }) => credential === undefined || carries(credential.username, credential.password),
    )
    const accepted = found.filter(({ isAccepted }) => isAccepted).length
    return { accepted, refused: found.length - accepted }
  }

  requests(): number {
    return this.#requests
  }

  openConnections(): number {
    return this.#sockets.size
  }

  isLocked(): boolean {
    return this.#refusedInARow >= (this.#options.lockOutAfter ?? Infinity)
  }

  unlock(): void {
    this.#refusedInARow = 0
  }

  expireNonces(): void {
    for (const nonce of this.#nonces.keys()) this.#nonces.set(nonce, 'stale')
  }

  setLatency(ms: number): void {
    this.#latencyMs = ms
  }

  async setReach(reach: 'up' | 'down' | 'silent'): Promise<void> {
    this.#isSilent = reach === 'silent'
    if (reach === 'down') await this.#close()
    else if (this.#server === undefined) await this.listen(this.#port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort()
    await this.#close()
  }

  async #close(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = once(server, 'close')
    server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #serve(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('utf8')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const request = readRequest(text.slice(0, end))
        text = text.slice(end + 4)
        this.#requests += 1
        void this.#answer(socket, request)
      }
    })
  }

  async #answer(socket: Socket, request: RtspRequest): Promise<void> {
    if (this.#isSilent) return
    if (this.#latencyMs > 0) {
      await delay(this.#latencyMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined)
    }
    const lines = this.#decide(request)
    if (socket.writable) socket.write(lines.join('\r\n'))
  }

  #decide(request: RtspRequest): readonly string[] {
    const head = (status: string): string[] => [`RTSP/1.0 ${status}`, `CSeq: ${request.cseq}`]
    if (this.isLocked()) return [...head('403 Forbidden'), '', '']
    if (request.method === 'OPTIONS') return [...head('200 OK'), 'Public: OPTIONS, DESCRIBE', '', '']
    if (request.method !== 'DESCRIBE') return [...head('501 Not Implemented'), '', '']
    const verdict = this.#judge(request)
    if (verdict !== 'accepted') return [...head('401 Unauthorized'), ...this.#challenges(verdict === 'stale'), '', '']
    return [...head('200 OK'), 'Content-Type: application/sdp', `Content-Length: ${sdp.length}`, '', sdp]
  }

  #judge({ method, url, authorization }: RtspRequest): 'accepted' | 'refused' | 'stale' {
    const { schemes = ['digest-sha-256', 'digest-md5', 'basic'] } = this.#options
    if (schemes.length === 0) return 'accepted'
    if (authorization === undefined) return 'refused'
    const { scheme, nonce, carries } = readAuthorization(authorization, { method, url })
    const isRight = scheme !== undefined && schemes.includes(scheme) && carries(this.#username, this.#password)
    if (isRight && scheme !== 'basic' && this.#nonces.get(nonce) === 'stale') return 'stale'
    const isAccepted = isRight && (scheme === 'basic' || this.#nonces.has(nonce))
    this.#attempts.push({ isAccepted, carries })
    this.#refusedInARow = isAccepted ? 0 : this.#refusedInARow + 1
    return isAccepted ? 'accepted' : 'refused'
  }

  #challenges(isStale: boolean): readonly string[] {
    const { schemes = ['digest-sha-256', 'digest-md5', 'basic'] } = this.#options
    return schemes.map((scheme) => {
      if (scheme === 'basic') return `WWW-Authenticate: Basic realm="${realm}"`
      const nonce = randomBytes(16).toString('hex')
      this.#nonces.set(nonce, 'fresh')
      const stale = isStale ? ', stale=true' : ''
      return `WWW-Authenticate: Digest realm="${realm}", nonce="${nonce}", algorithm=${hashes[scheme][0]}, qop="auth"${stale}`
    })
  }
}

function readRequest(text: string): RtspRequest {
  const [start = '', ...lines] = text.split('\r\n')
  const [method = '', url = ''] = start.split(' ')
  const header = (name: string): string | undefined =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim()
  return { method, url, cseq: header('cseq') ?? '', authorization: header('authorization') }
}

interface Authorization {
  readonly scheme: CameraScheme | undefined
  readonly nonce: string
  readonly carries: (username: string, password: string) => boolean
}

/** RFC 7616 with qop=auth, and RFC 7617, on their own: what is tested shall not check itself. */
function readAuthorization(text: string, request: { readonly method: string; readonly url: string }): Authorization {
  const [kind = '', rest = ''] = text.split(/ (.*)/)
  if (kind === 'Basic') {
    const sent = Buffer.from(rest, 'base64').toString('utf8')
    return { scheme: 'basic', nonce: '', carries: (username, password) => sent === `${username}:${password}` }
  }
  const field = (name: string): string => new RegExp(`(?:^|[ ,])${name}="?([^",]*)`).exec(rest)?.[1] ?? ''
  const scheme = field('algorithm') === 'SHA-256' ? 'digest-sha-256' : 'digest-md5'
  const hash = (input: string): string => createHash(hashes[scheme][1]).update(input).digest('hex')
  const nonce = field('nonce')
  return {
    scheme: kind === 'Digest' ? scheme : undefined,
    nonce,
    carries: (username, password) => {
      const secret = hash(`${username}:${realm}:${password}`)
      const asked = hash(`${request.method}:${request.url}`)
      const response = hash(`${secret}:${nonce}:${field('nc')}:${field('cnonce')}:auth:${asked}`)
      return field('uri') === request.url && field('response') === response
    },
  }
}
