import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

import type { TestCertificate } from './certificates.ts'
import { httpAnswer } from './scripted-server.ts'

export interface PortalOptions {
  /** Where the server was that it answers for. */
  readonly tlsPort: number
  /** With it, it speaks TLS there; without, it answers in plain text. */
  readonly certificate?: TestCertificate
}

/** A network's page to log in at, which answers everything with 200 and HTML. */
export interface Portal extends AsyncDisposable {
  /** In the place of port 80. */
  readonly httpPort: number
}

const page = httpAnswer('200 OK', '<html>Welcome to the hotel</html>', { 'content-type': 'text/html' })

export async function startPortal({ tlsPort, certificate }: PortalOptions): Promise<Portal> {
  const sockets = new Set<Socket>()
  const answer = (socket: Socket): void => {
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.end(page))
  }
  const tls = { cert: certificate?.pem, key: certificate?.privateKey }
  const server: Server = certificate === undefined ? createServer(answer) : createTlsServer(tls, answer)
  server.on('tlsClientError', () => undefined)
  const http = createHttpServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<html>Welcome to the hotel</html>')
  })
  for (const each of [server, http]) {
    each.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
  }
  server.listen(tlsPort, '127.0.0.1')
  http.listen(0, '127.0.0.1')
  await Promise.all([once(server, 'listening'), once(http, 'listening')])
  const { port: httpPort } = http.address() as AddressInfo // not a pipe
  return {
    httpPort,
    async [Symbol.asyncDispose]() {
      const closed = Promise.all([once(server, 'close'), once(http, 'close')])
      server.close()
      http.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
