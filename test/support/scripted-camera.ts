import { once } from 'node:events'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

import type { TestCertificate } from './certificates.ts'

export interface ReceivedRequest {
  readonly method: string
  readonly url: string
  /** Its whole head. */
  readonly text: string
  readonly authorization: string | undefined
  readonly cseq: string
  /** Counted from 0. */
  readonly connection: number
}

/**
 * What to answer: bytes, in which `$CSEQ` stands for the number of the request; nothing when it says or does it itself
 * by the socket.
 */
export type CameraScript = (request: ReceivedRequest, socket: Socket) => string | Uint8Array | undefined

/** An RTSP server that answers byte by byte as it is told. */
export interface ScriptedCamera extends AsyncDisposable {
  readonly port: number
  /** `rtsp://127.0.0.1:<port>/live`, with a certificate `rtsps://localhost:<port>/live`. */
  readonly streamUrl: string
  readonly received: readonly ReceivedRequest[]
  readonly connections: () => number
  readonly openConnections: () => number
}

export async function startScriptedCamera(
  script: CameraScript,
  certificate?: TestCertificate,
): Promise<ScriptedCamera> {
  const received: ReceivedRequest[] = []
  const sockets = new Set<Socket>()
  const counts = { tcp: 0, served: 0 }
  const serve = (socket: Socket): void => {
    const connection = counts.served
    counts.served += 1
    let text = ''
    socket.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const request = readRequest(text.slice(0, end), connection)
        text = text.slice(end + 4)
        received.push(request)
        const answer = script(request, socket)
        if (answer !== undefined && socket.writable) socket.write(filledIn(answer, request), 'latin1')
      }
    })
  }
  const server =
    certificate === undefined
      ? createTcpServer(serve)
      : createTlsServer({ cert: certificate.pem, key: certificate.privateKey }, serve)
  server.on('connection', (socket: Socket) => {
    counts.tcp += 1
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  return {
    port,
    streamUrl: `${certificate === undefined ? 'rtsp://127.0.0.1' : 'rtsps://localhost'}:${port}/live`,
    received,
    connections: () => counts.tcp,
    openConnections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** An answer without a body. */
export function rtspAnswer(status: number, ...headers: readonly string[]): string {
  return [`RTSP/1.0 ${status} As It Is`, 'CSeq: $CSEQ', ...headers, '', ''].join('\r\n')
}

/** An answer with the number of the request in it. */
export function filledIn(answer: string | Uint8Array, { cseq }: ReceivedRequest): string | Uint8Array {
  return typeof answer === 'string' ? answer.replace('$CSEQ', cseq) : answer
}

/** Answers OPTIONS with 200, and other requests by whether they carry a credential. */
export function challenging(challenges: readonly string[], withCredential: CameraScript | string): CameraScript {
  return (request, socket) => {
    if (request.method === 'OPTIONS') return rtspAnswer(200)
    if (request.authorization === undefined)
      return rtspAnswer(401, ...challenges.map((it) => `WWW-Authenticate: ${it}`))
    return typeof withCredential === 'string' ? withCredential : withCredential(request, socket)
  }
}

function readRequest(text: string, connection: number): ReceivedRequest {
  const [, method = '', url = ''] = /^(\S+) (\S+) RTSP\/1\.0\r?$/m.exec(text) ?? []
  const header = (name: string): string | undefined => new RegExp(`^${name}: (.*?)\\r?$`, 'm').exec(text)?.[1]
  return { method, url, text, connection, authorization: header('Authorization'), cseq: header('CSeq') ?? '' }
}
