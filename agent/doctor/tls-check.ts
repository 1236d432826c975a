import { fail, pass, warn, type Check, type Outcome } from './doctor-check.ts'
import { isOfAws, type Endpoint } from './endpoint.ts'
import type { InspectTls, TlsInspection } from './tls-inspection.ts'
import { printableText } from './printable-text.ts'

type Answered = Extract<TlsInspection, { kind: 'answered' }>

const longestName = 80

/** Whether the server of an endpoint can be reached and is who it should be. `needs`: the check of the way there, by default that of its name. */
export function tlsCheck(endpoint: Endpoint, inspect: InspectTls, needs = `dns.${endpoint.key}`): Check {
  return {
    id: `tls.${endpoint.key}`,
    name: `TLS ${endpoint.name}`,
    withinMs: 10_000,
    needs: [needs],
    run: async (signal) => [await look(endpoint, inspect, signal)],
  }
}

async function look(endpoint: Endpoint, inspect: InspectTls, signal: AbortSignal): Promise<Outcome> {
  if (!endpoint.isTls) return pass(`${endpoint.host}:${endpoint.port} is plain HTTP on this machine, as configured`)
  return tlsOutcome(endpoint, await inspect(endpoint, signal), Date.now())
}

export function tlsOutcome(endpoint: Endpoint, inspection: TlsInspection, nowMs: number): Outcome {
  const place = `${endpoint.host}:${endpoint.port}`
  switch (inspection.kind) {
    case 'unreachable':
      return unreachable(place, inspection.code)
    case 'no-tls':
      return fail(
        `something in the network answers in the place of ${place}: it does not speak TLS (${inspection.code})`,
        'sign in to the captive portal of this network, or let the appliance past it; a proxy may sit on this port as well',
      )
    case 'answered':
      return answered(endpoint, inspection, nowMs)
  }
}

function answered(endpoint: Endpoint, inspection: Answered, nowMs: number): Outcome {
  const { host, port } = endpoint
  const issuer = quoted(inspection.issuer)
  const { vouchers, namesHost } = inspection
  if (!namesHost) {
    return fail(
      `something in the network answers in the place of ${host}: its certificate is for ${quoted(inspection.subject)}, issued by ${issuer}`,
      'sign in to the captive portal of this network, or let the appliance past it; else check the endpoint and the DNS server',
    )
  }
  const isTrusted = vouchers.own || (!endpoint.trustsRootCaOnly && (vouchers.isPublic || vouchers.system))
  if (!isTrusted) return untrusted(endpoint, inspection)
  if (nowMs < inspection.notBeforeMs || nowMs > inspection.notAfterMs) return outOfDate(endpoint, inspection, nowMs)
  if (inspection.code !== undefined) {
    return fail(`TLS refuses the certificate of ${host}, issued by ${issuer}: ${inspection.code}`)
  }
  if (isOfAws(host) && !vouchers.isPublic) {
    return warn(
      `a middlebox replaces the certificate of ${host}: it is issued by ${issuer}, which this appliance is set up to trust, and not by Amazon`,
      'let *.amazonaws.com pass without TLS inspection: whoever runs it reads credentials and camera secrets, and MQTT with a client certificate cannot pass it',
    )
  }
  if (inspection.http?.isHtml === true && inspection.http.status < 400) {
    return warn(
      `${host} answers with a web page (HTTP ${inspection.http.status}), issued by ${issuer}`,
      'check that the endpoint is that of the service',
    )
  }
  const until = new Date(inspection.notAfterMs).toISOString().slice(0, 10)
  return pass(`${host}:${port} by ${inspection.protocol}, certificate by ${issuer} until ${until}`)
}

function untrusted({ host, trustsRootCaOnly }: Endpoint, { issuer: name, vouchers, code }: Answered): Outcome {
  const issuer = quoted(name)
  if (trustsRootCaOnly && vouchers.isPublic) {
    return fail(
      `the certificate of ${host} is issued by ${issuer}, a public authority that identity.rootCa does not hold`,
      "put all of Amazon's roots into identity.rootCa (https://www.amazontrust.com/repository/), and check that the endpoint is the one with -ats in it",
    )
  }
  if (trustsRootCaOnly && vouchers.system) {
    return fail(
      `a middlebox replaces the certificate of ${host}: it is issued by ${issuer}, which the system trusts and identity.rootCa does not`,
      'let this host pass without TLS inspection: it needs the client certificate of this appliance, which nothing between can pass on',
    )
  }
  return fail(
    `the server that answers for ${host} is not trusted: its certificate is issued by ${issuer}, of which no trusted root is known${code === undefined ? '' : ` (${code})`}`,
    'something in the network may replace certificates: let this host pass without TLS inspection; where the issuer is right, add its root to identity.rootCa',
  )
}

/** HTTPS of the agent works under a wrong clock, MQTT does not. */
function outOfDate({ host, isMqtt }: Endpoint, { notBeforeMs, notAfterMs, issuer }: Answered, nowMs: number): Outcome {
  const shown = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
  const text =
    `the certificate of ${host}, issued by ${quoted(issuer)}, is valid from ${shown(notBeforeMs)} to ${shown(notAfterMs)}, ` +
    `and the system clock says ${new Date(nowMs).toISOString()}`
  const hint =
    'set the system clock: NTP, or touch /etc/panorama-agent/allowed/set-clock as root, which lets the agent have it set'
  if (isMqtt) return fail(`${text}: MQTT waits for it`, hint)
  return warn(`${text}; the agent gets along with that, MQTT and others do not`, hint)
}

function unreachable(place: string, code: string): Outcome {
  const hint = hints[code] ?? `check the network and its firewall: it must let the appliance reach ${place} by TCP`
  return fail(`no connection to ${place}: ${meanings[code] ?? 'it failed'} (${code})`, hint)
}

const meanings: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'it is refused',
  ECONNRESET: 'it was cut off while TLS began',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'nothing answers',
}

const hints: Readonly<Record<string, string>> = {
  EHOSTUNREACH: 'check addresses and routes: ip address, ip route',
  ENETUNREACH: 'check addresses and routes: ip address, ip route',
}

function quoted(name: string): string {
  return `"${printableText(name, longestName).replaceAll('"', "'")}"`
}
