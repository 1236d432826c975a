import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'

import type { TestCertificate } from './certificates.ts'

export interface ScriptedServerOptions {
  readonly certificate: TestCertificate
  /** What the server sends along with its own certificate. */
  readonly intermediates?: readonly TestCertificate[]
  /** Does what the server does with a request once its headers are there. Default: ends the connection. */
  readonly onRequest?: (socket: TLSSocket) => void
}

/** A TLS server that is not the cloud: it counts what reaches it and answers byte by byte as it is told. */
export interface ScriptedServer extends AsyncDisposable {
  readonly port: number
  readonly handshakes: () => number
  /** Bytes that came after the handshakes. */
  readonly receivedBytes: () => number
}

export async function startScriptedServer(options: ScriptedServerOptions): Promise<ScriptedServer> {
  const { certificate, intermediates = [], onRequest = endConnection } = options
  const counts = { handshakes: 0, receivedBytes: 0 }
  const sockets = new Set<TLSSocket>()
  const server = createServer({
    cert: [certificate, ...intermediates].map(({ pem }) => pem).join('\n'),
    key: certificate.privateKey,
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('secureConnection', (socket) => {
    counts.handshakes += 1
    sockets.add(socket)
    let head = ''
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    socket.on('data', (bytes: Buffer) => {
      counts.receivedBytes += bytes.length
      head += bytes.toString('latin1')
      if (!head.endsWith('\r\n\r\n')) return
      head = ''
      onRequest(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  return {
    port,
    handshakes: () => counts.handshakes,
    receivedBytes: () => counts.receivedBytes,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function endConnection(socket: TLSSocket): void {
  socket.destroy()
}

/** A whole HTTP answer, after which the connection ends. */
export function httpAnswer(statusLine: string, body: string, headers: Readonly<Record<string, string>> = {}): string {
  const all = { date: new Date().toUTCString(), connection: 'close', 'content-length': String(body.length), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return [`HTTP/1.1 ${statusLine}`, ...lines, '', body].join('\r\n')
}
