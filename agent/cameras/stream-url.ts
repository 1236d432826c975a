import { isIPv6 } from 'node:net'

/** The parts of a stream URL (RFC 3986). */
export interface StreamUrl {
  /** In lower case, without the colon. */
  readonly scheme: string
  /** Percent-decoded; undefined when the URL has no user info. */
  readonly credentials: UrlCredentials | undefined
  /** In lower case, IPv6 without brackets; the same for each way to write the same address or name. */
  readonly host: string
  /** The one written; undefined for the scheme's own. */
  readonly port: number | undefined
  /** Host and port as they are written. */
  readonly authority: string
  /** Path, query and fragment as they are written. */
  readonly rest: string
}

export interface UrlCredentials {
  readonly username: string
  readonly password: string
}

/**
 * Takes a URL with an authority apart, of whatever scheme; undefined when it is none. Only what has to be understood
 * is: cameras have paths that no standard knows, which stay byte for byte.
 */
export function parseStreamUrl(text: string): StreamUrl | undefined {
  const [, scheme, written = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is.exec(text.trim()) ?? []
  if (scheme === undefined) return undefined
  const at = written.lastIndexOf('@') // so a password with an '@' that should have been encoded is read, too
  const authority = written.slice(at + 1)
  const place = parseAuthority(authority)
  if (place === undefined) return undefined
  const credentials = at === -1 ? undefined : parseUserInfo(written.slice(0, at))
  return { scheme: scheme.toLowerCase(), credentials, ...place, authority, rest }
}

/**
 * The URL with this user info in place of its own; without any when both are empty. Every byte of their UTF-8 is
 * percent-encoded but the unreserved characters of RFC 3986. What is no URL is answered as it is.
 */
export function withCredentials(url: string, username: string, password: string): string {
  const parts = parseStreamUrl(url)
  if (parts === undefined) return url
  // The colon also when the password is empty: GStreamer takes no user info without it.
  const userInfo = username === '' && password === '' ? '' : `${percentEncoded(username)}:${percentEncoded(password)}@`
  return `${parts.scheme}://${userInfo}${parts.authority}${parts.rest}`
}

/** The URL without user info. What is no URL is answered as it is. */
export function withoutCredentials(url: string): string {
  return withCredentials(url, '', '')
}

/** The camera that an rtsp or rtsps URL leads to, by name or address; undefined when it is no such URL. */
export function cameraHost(url: string): string | undefined {
  const parts = parseStreamUrl(url)
  return parts?.scheme === 'rtsp' || parts?.scheme === 'rtsps' ? parts.host : undefined
}

function parseAuthority(authority: string): { host: string; port: number | undefined } | undefined {
  const match = /^(?:\[([0-9a-f:.]+(?:%25[\w.~-]+)?)\]|([\w.-]+))(?::(\d{0,5}))?$/i.exec(authority)
  if (match === null) return undefined
  const [, address, name, digits = ''] = match
  const port = digits === '' ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined
  if (name !== undefined) return { host: name.toLowerCase().replace(/\.$/, ''), port }
  const host = address?.replace('%25', '%').toLowerCase() ?? '' // the zone, see RFC 6874
  return isIPv6(host) ? { host: shortestAddress(host), port } : undefined
}

/** RFC 5952; an address with a zone stays as it is. */
function shortestAddress(address: string): string {
  return address.includes('%') ? address : new URL(`http://[${address}]`).hostname.slice(1, -1)
}

function parseUserInfo(text: string): UrlCredentials {
  const colon = text.indexOf(':')
  if (colon === -1) return { username: percentDecoded(text), password: '' }
  return { username: percentDecoded(text.slice(0, colon)), password: percentDecoded(text.slice(colon + 1)) }
}

function percentEncoded(text: string): string {
  const isUnreserved = /[A-Za-z0-9._~-]/
  return Array.from(Buffer.from(text, 'utf8'), (byte) => {
    const character = String.fromCharCode(byte)
    return isUnreserved.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
}

/** As it is where it is not encoded properly: a password with a '%' that should have been encoded. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
