import type { IncomingHttpHeaders } from 'node:http'

/** What tells a request to the listener; the port is the one that it came to. */
export interface RequestHead {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly port: number
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

export type CredentialsRequest =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'for'; readonly application: string; readonly token: string }

const applicationPath = /^\/v1\/applications\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/

/** The path that credentials of an application are at. */
export function pathOf(application: string): string {
  return `/v1/applications/${application}`
}

/**
 * What is asked for, if it comes from an SDK. A browser gives itself away: by the name that a page made it resolve to
 * 127.0.0.1 (DNS rebinding), which stands in Host, or by Origin and Sec-Fetch-* ("Fetch Metadata Request Headers", W3C),
 * which no page can leave out.
 */
export function readCredentialsRequest({ method, url, headers, port }: RequestHead): CredentialsRequest {
  const { host, origin, authorization = '' } = headers
  if (host !== `127.0.0.1:${port}` && host !== `localhost:${port}`) {
    return refused(403, 'ForbiddenHost', `only requests to 127.0.0.1:${port} are answered`)
  }
  if (origin !== undefined || Object.keys(headers).some((name) => name.startsWith('sec-fetch-'))) {
    return refused(403, 'ForbiddenOrigin', 'requests of web pages are not answered')
  }
  if (method !== 'GET') return refused(405, 'MethodNotAllowed', 'only GET is answered')
  const application = applicationPath.exec(url ?? '')?.[1]
  if (application === undefined) return refused(404, 'NotFound', `there is nothing but ${pathOf('NAME')}`)
  return { kind: 'for', application, token: authorization }
}

function refused(status: number, code: string, message: string): CredentialsRequest {
  return { kind: 'refused', refusal: { status, code, message } }
}
