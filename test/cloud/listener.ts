import { once } from 'node:events'
import { constants } from 'node:crypto'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { SecureContextOptions, Server as TlsServer, TlsOptions } from 'node:tls'

import type { KeyAndCertificate } from './certificates.ts'

export interface ListenerOptions {
  readonly certificate: KeyAndCertificate
  /** Asks for a client certificate; the handler decides what it is worth. */
  readonly requestClientCertificate: boolean
  /** A connection whose SNI names none of these is dropped. Default: any name, or none. */
  readonly serverNames?: readonly string[]
  /** Default 127.0.0.1. */
  readonly address?: '127.0.0.1' | '::1' | undefined
  /** Default 0: any free port. */
  readonly port?: number
  /** Makes the server that speaks the protocol; it is handed each connection, and never listens itself. */
  readonly createServer: (options: TlsOptions) => TlsServer
}

type Mode = 'reachable' | 'unreachable' | 'blackhole'

const listenTries = 50
const listenRetryMs = 100

/**
 * One TLS server on a loopback port that it keeps for life, and that can go away or turn into a black hole. TCP is
 * accepted apart from TLS, because only the TCP socket can be reset.
 */
export class Listener implements AsyncDisposable {
  readonly #tls: TlsServer
  readonly #tcp: Server
  /** All of them: a client may reuse the port of a connection that is stuck in the black hole. */
  readonly #open = new Set<Socket>()
  readonly #sockets = new Map<number, Socket>()
  #mode: Mode = 'unreachable'
  readonly #address: string
  #port: number
  /** The addresses that connections have come from. */
  readonly peers = new Set<string>()

  private constructor(options: ListenerOptions) {
    const {
      certificate,
      requestClientCertificate,
      serverNames,
      address = '127.0.0.1',
      port = 0,
      createServer,
    } = options
    this.#address = address
    this.#port = port
    this.#tls = createServer({
      ...secureContext(certificate),
      requestCert: requestClientCertificate,
      rejectUnauthorized: false,
    })
    this.#tls.prependListener('secureConnection', (socket) => {
      const { servername } = socket
      if (serverNames !== undefined && !serverNames.some((name) => name === servername)) socket.destroy()
    })
    this.#tls.on('tlsClientError', (_error, socket) => {
      socket.destroy()
    })
    this.#tcp = createTcpServer({ noDelay: true }, (socket) => {
      this.#accept(socket)
    })
  }

  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options)
    await listener.reachable()
    return listener
  }

  get port(): number {
    return this.#port
  }

  get isBlackhole(): boolean {
    return this.#mode === 'blackhole'
  }

  /** New connections are shown this certificate. */
  setCertificate(certificate: KeyAndCertificate): void {
    this.#tls.setSecureContext(secureContext(certificate))
  }

  /** Listens, on the same port as before, and ends what was stuck in the black hole. */
  async reachable(): Promise<void> {
    if (this.#mode === 'reachable') return
    this.#destroySockets()
    if (!this.#tcp.listening) await this.#listen()
    this.#mode = 'reachable'
  }

  /** Refuses connections and destroys those that are open. */
  async unreachable(): Promise<void> {
    this.#mode = 'unreachable'
    if (!this.#tcp.listening) return
    const closed = once(this.#tcp, 'close')
    this.#tcp.close()
    this.#destroySockets()
    await closed
  }

  /** Accepts connections and requests from now on, and answers none of them. */
  async blackhole(): Promise<void> {
    if (!this.#tcp.listening) await this.#listen()
    this.#mode = 'blackhole'
  }

  /** Resets the connection of a client, named by the client's port. */
  reset(remotePort: number | undefined): void {
    this.#sockets.get(remotePort ?? -1)?.resetAndDestroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unreachable()
  }

  #accept(socket: Socket): void {
    const { remotePort } = socket
    if (remotePort === undefined) {
      socket.destroy()
      return
    }
    this.#open.add(socket)
    this.#sockets.set(remotePort, socket)
    this.peers.add(socket.remoteAddress ?? '')
    socket.on('error', () => {
      socket.destroy()
    })
    socket.once('close', () => {
      this.#open.delete(socket)
      if (this.#sockets.get(remotePort) === socket) this.#sockets.delete(remotePort)
    })
    if (this.#mode !== 'blackhole') this.#tls.emit('connection', socket)
  }

  async #listen(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        this.#tcp.listen(this.#port, this.#address)
        await once(this.#tcp, 'listening')
        this.#port = portOf(this.#tcp)
        return
      } catch (error) {
        // An outgoing connection of another process can sit on our port for a moment.
        if (this.#port === 0 || tries === listenTries) throw error
        await new Promise((resolve) => setTimeout(resolve, listenRetryMs))
      }
    }
  }

  #destroySockets(): void {
    for (const socket of this.#open) socket.destroy()
  }
}

/** Without session tickets, as AWS IoT has it ("Transport security in AWS IoT Core"); no client relies on them. */
function secureContext({ certificatePem, privateKeyPem }: KeyAndCertificate): SecureContextOptions {
  return { cert: certificatePem, key: privateKeyPem, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET }
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('the listener has no port')
  return address.port
}
