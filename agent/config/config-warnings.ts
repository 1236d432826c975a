import { templateParts } from '../lib/text-template.ts'
import type { UnprovisionedConfig } from './config-schema.ts'
import { deviceNames } from './device-names.ts'
import type { ConfigFault } from './config-error.ts'

/** What the role's policy in config/cloud/ lets an appliance write to. */
const coveredPrefixes = ['/aws/panorama/devices/', '/aws/panorama_device']

/** Linux gives ports from here on to connections that go out (ip_local_port_range, ip(7)). */
const firstPassingPort = 32_768

/** What a configuration that has no fault may still not do as meant. */
export function configWarnings(config: UnprovisionedConfig): readonly ConfigFault[] {
  return [...uncoveredGroups(config), ...sharedGroups(config), ...passingPort(config), ...addressOfProxy(config)]
}

function uncoveredGroups({ device, logs }: UnprovisionedConfig): readonly ConfigFault[] {
  const known = knownNames(device)
  return logs.sources.flatMap(({ group }, index) => {
    const beginning = beginningOf(group, known)
    if (coveredPrefixes.some((prefix) => beginning.startsWith(prefix))) return []
    const message =
      `log groups that begin with "${beginning}" are not covered by config/cloud/appliance-role-policy.json: allow ` +
      'logs:CreateLogGroup, CreateLogStream and PutLogEvents on them, or begin with /aws/panorama/devices/'
    return [{ path: `logs.sources[${index}].group`, message }]
  })
}

/** Without an identity there is no thing name yet, and nothing that is made of it. */
function knownNames({
  thingName,
  ...device
}: UnprovisionedConfig['device']): Readonly<Record<string, string | undefined>> {
  const { id, name } = thingName === undefined ? device : deviceNames({ thingName, ...device })
  return { 'device.id': id, 'device.name': name, thing: thingName }
}

/** Whoever may read a token gets the credentials. */
function sharedGroups({ applications }: UnprovisionedConfig): readonly ConfigFault[] {
  return applications.flatMap(({ group }, index) => {
    const other = applications.slice(0, index).find((earlier) => earlier.group === group)
    if (other === undefined) return []
    const message = `is the group of the application "${other.name}" too: each of the two can get the other's credentials`
    return [{ path: `applications[${index}].group`, message }]
  })
}

function passingPort({ applications, applicationCredentials: { port } }: UnprovisionedConfig): readonly ConfigFault[] {
  if (applications.length === 0 || port < firstPassingPort) return []
  const message =
    `ports from ${firstPassingPort} on are given to connections that go out, so that one may have it when the agent ` +
    'starts: take a lower one'
  return [{ path: 'applicationCredentials.port', message }]
}

/** MQTT's client says where it goes in SNI, be it an address, which RFC 6066 does not allow: GnuTLS refuses one of IPv6. */
function addressOfProxy({ network: { proxy }, endpoints }: UnprovisionedConfig): readonly ConfigFault[] {
  if (proxy === undefined || endpoints.mqtt === undefined || !proxy.url.startsWith('https://[')) return []
  const message =
    'is https with an IPv6 address: a proxy may refuse that as a server name, which MQTT sends it, and then only MQTT ' +
    'does not connect: name the proxy by a name that its certificate has'
  return [{ path: 'network.proxy.url', message }]
}

/** As much of what a template makes as does not depend on the file. */
function beginningOf(template: string, known: Readonly<Record<string, string | undefined>>): string {
  let beginning = ''
  for (const part of templateParts(template)) {
    const text = part.kind === 'text' ? part.text : known[part.name]
    if (text === undefined) break
    beginning += text
  }
  return beginning
}
