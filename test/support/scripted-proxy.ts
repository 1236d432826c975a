import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'

import type { ProxyCredentials, ProxyServer } from '../../agent/network/proxy-settings.ts'
import type { TestCertificate } from './certificates.ts'

export interface ScriptedProxyOptions {
  /** What it answers to CONNECT, in bytes; default 200, and the tunnel. */
  readonly answer?: string
  /** Makes tunnels for who has these alone. */
  readonly wanted?: ProxyCredentials
  /** Speaks TLS itself. */
  readonly certificate?: TestCertificate
}

/** A proxy that is no real one: it answers what it is told, or makes tunnels. */
export interface ScriptedProxy extends AsyncDisposable {
  readonly server: ProxyServer
  /** Each request head that came. */
  readonly requests: readonly string[]
}

const refusal = 'HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n'
const established = 'HTTP/1.1 200 Connection established\r\n\r\n'

export async function startScriptedProxy({
  answer,
  wanted,
  certificate,
}: ScriptedProxyOptions = {}): Promise<ScriptedProxy> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const onConnection = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    socket.once('data', (bytes: Buffer) => {
      const head = bytes.toString('latin1')
      requests.push(head)
      if (answer !== undefined) socket.write(answer)
      else if (wanted !== undefined && !head.includes(basicOf(wanted)))
        socket.write(refusal) // and no end with it: the native client may see that first, and then no answer
      else makeTunnel(socket, head, sockets)
    })
  }
  const tls = { cert: certificate?.pem, key: certificate?.privateKey }
  const server: Server = certificate === undefined ? createServer(onConnection) : createTlsServer(tls, onConnection)
  server.on('connection', (socket: Socket) => sockets.add(socket)) // before a handshake, too
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // not a pipe
  return {
    requests,
    server: {
      host: certificate === undefined ? '127.0.0.1' : 'localhost',
      port,
      isTls: certificate !== undefined,
      origin: 'network.proxy',
      credentials: () => Promise.resolve({ username: 'üser', password: 'pw-Tunnel_8Kd2' }),
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function basicOf({ username, password }: ProxyCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}

function makeTunnel(client: Socket, head: string, sockets: Set<Socket>): void {
  const port = Number(/^CONNECT [^ ]+:(\d+) /.exec(head)?.[1])
  const upstream = connect({ port, host: '127.0.0.1' })
  sockets.add(upstream)
  upstream.on('error', () => client.destroy())
  upstream.once('connect', () => {
    client.write(established)
    client.pipe(upstream).pipe(client)
  })
}
