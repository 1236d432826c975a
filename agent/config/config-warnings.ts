import { templateParts } from '../lib/text-template.ts'
import type { Config } from './config-schema.ts'
import { deviceNames } from './device-names.ts'
import type { ConfigFault } from './load-config.ts'

/** What the role's policy in config/cloud/ lets an appliance write to. */
const coveredPrefixes = ['/aws/panorama/devices/', '/aws/panorama_device']

/** What a configuration that has no fault may still not do as meant. */
export function configWarnings({ device, logs }: Config): readonly ConfigFault[] {
  const { id, name } = deviceNames(device)
  const known: Readonly<Record<string, string>> = { 'device.id': id, 'device.name': name, thing: device.thingName }
  return logs.sources.flatMap(({ group }, index) => {
    const beginning = beginningOf(group, known)
    if (coveredPrefixes.some((prefix) => beginning.startsWith(prefix))) return []
    const message =
      `log groups that begin with "${beginning}" are not covered by config/cloud/appliance-role-policy.json: allow ` +
      'logs:CreateLogGroup, CreateLogStream and PutLogEvents on them, or begin with /aws/panorama/devices/'
    return [{ path: `logs.sources[${index}].group`, message }]
  })
}

/** As much of what a template makes as does not depend on the file. */
function beginningOf(template: string, known: Readonly<Record<string, string>>): string {
  let beginning = ''
  for (const part of templateParts(template)) {
    const text = part.kind === 'text' ? part.text : known[part.name]
    if (text === undefined) break
    beginning += text
  }
  return beginning
}
