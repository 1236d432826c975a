import type { CloudCommand } from '../test/cloud/iot/cloud-commands.ts'
import { askCloud, missing } from './ask-cloud.ts'

/** What the command line says about certificates and templates. */
export interface ProvisioningOptions {
  readonly folder?: string | undefined
  readonly certificate?: string | undefined
  readonly seconds?: string | undefined
  readonly template: string
}

/** Lists certificates of a running cloud, or changes how they are; prints the outcome as JSON. Throws an Error that says what is wrong. */
export async function runCertificatesCommand(verb: string | undefined, options: ProvisioningOptions): Promise<void> {
  await print(options, ofCertificates(verb, options))
}

/** Has a running cloud take a provisioning template out of use, or back; prints the outcome. Throws as the above. */
export async function runTemplatesCommand(verb: string | undefined, options: ProvisioningOptions): Promise<void> {
  if (verb !== 'enable' && verb !== 'disable') throw unknown('templates', verb, 'enable or disable')
  await print(options, { command: 'set-template', template: options.template, enabled: verb === 'enable' })
}

function ofCertificates(verb: string | undefined, { certificate, seconds }: ProvisioningOptions): CloudCommand {
  const change = (status: 'ACTIVE' | 'INACTIVE'): CloudCommand => ({
    command: 'set-certificate-status',
    certificateId: certificate ?? missing('--certificate (its id, as "certificates list" shows it)'),
    status,
  })
  switch (verb) {
    case 'list':
      return { command: 'list-certificates' }
    case 'activate':
      return change('ACTIVE')
    case 'deactivate':
      return change('INACTIVE')
    case 'delay':
      return { command: 'delay-certificates', seconds: secondsOf(seconds ?? missing('--seconds')) }
    default:
      throw unknown('certificates', verb, 'list, activate, deactivate or delay')
  }
}

async function print({ folder }: ProvisioningOptions, command: CloudCommand): Promise<void> {
  process.stdout.write(`${JSON.stringify(await askCloud(folder, command), null, 2)}\n`)
}

function secondsOf(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text)
  throw new Error(`--seconds must be a number of seconds, not "${text}"`)
}

function unknown(what: string, verb: string | undefined, known: string): Error {
  return new Error(`"${what} ${verb ?? ''}" is not known: ${known}`)
}
