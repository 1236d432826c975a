import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

import type { ProxyCredentials } from '../network/proxy-settings.ts'
import { proxyUnreachable, refusedByProxy, type TunnelEnds } from './proxy-error.ts'

export interface TunnelOptions extends Omit<TunnelEnds, 'hasCredentials'> {
  /** To the proxy; it becomes the tunnel, or is destroyed. */
  readonly socket: Socket
  readonly credentials: ProxyCredentials | undefined
  readonly signal: AbortSignal
}

/**
 * Has a proxy make a tunnel to a server (RFC 9110, section 9.3.6), with Basic credentials if there are any (RFC 7617, in
 * UTF-8). Resolves with the socket to speak to the server on. Throws a ProxyError, or the signal's reason.
 */
export async function openTunnel({ socket, credentials, signal, ...to }: TunnelOptions): Promise<Socket> {
  const ends = { ...to, hasCredentials: credentials !== undefined }
  try {
    const { statusCode: status = 0, statusMessage: reason = '' } = await askForTunnel(socket, ends.target, {
      credentials,
      signal,
    })
    if (status >= 200 && status < 300) return socket
    throw refusedByProxy({ status, reason }, ends)
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    throw proxyUnreachable(error, ends)
  }
}

async function askForTunnel(
  socket: Socket,
  target: string,
  { credentials, signal }: Pick<TunnelOptions, 'credentials' | 'signal'>,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request = httpRequest({
    method: 'CONNECT',
    path: target,
    createConnection: () => socket,
    headers: { host: target, ...(credentials === undefined ? {} : { 'proxy-authorization': basic(credentials) }) },
    signal,
  })
  request.once('connect', (answer, _socket, head) => {
    if (head.length > 0) socket.unshift(head)
    resolve(answer)
  })
  request.once('response', resolve) // never for CONNECT by Node's documentation; a refusal then
  request.on('error', reject)
  request.end()
  return await promise
}

function basic({ username, password }: ProxyCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}
