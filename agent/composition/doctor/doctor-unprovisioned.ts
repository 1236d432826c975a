import type { ProvisioningConfig } from '../../config/config-schema.ts'
import { claimCheck, claimConnectionCheck, serialCheck } from '../../doctor/claim-check.ts'
import { skip, UnseenError, type Check } from '../../doctor/doctor-check.ts'
import { rootsCheck } from '../../doctor/identity-check.ts'
import { endpointChecks, machineChecks, serviceChecks, type DoctorContext } from './doctor-machine.ts'
import { IdentityError, type Identity } from '../../identity/identity.ts'
import { readSerialNumber } from '../../identity/serial-number.ts'
import { AgentError } from '../../lib/errors.ts'

/** What an appliance needs to get its identity. The identity of the context is the claim. */
export function unprovisionedChecks(context: DoctorContext, settings: ProvisioningConfig): readonly Check[] {
  const { config, cloud, host } = context
  const load = async (): Promise<Identity> => await host.identity().catch(hintAtClaim)
  const { mqtt = '' } = config.endpoints
  const { serialNumberFile } = settings
  const readSerial = async (): Promise<string> => await readSerialNumber(serialNumberFile)
  const lookAtSerial = async (signal: AbortSignal): Promise<string> =>
    await readSerial().catch(async (error: unknown) => {
      const isUnseen = error instanceof AgentError && error.message.includes('(EACCES)')
      if (!isUnseen || (await host.isServiceUser(signal))) throw error
      throw new UnseenError(serialNumberFile)
    })
  const connect = async (signal: AbortSignal): Promise<string> => {
    const clientId = `${settings.template}-${await readSerial()}`
    const refusedHint =
      'see that the claim certificate is active and has a policy like config/cloud/provisioning/iot-claim-policy.json'
    await cloud.connectMqtt({ endpoint: mqtt, clientId, refusedHint }, signal)
    return clientId
  }
  return [
    ...machineChecks(context),
    serialCheck({ read: lookAtSerial, files: async (signal) => await host.access([serialNumberFile], signal) }),
    claimCheck({ load, files: host.identityAccess, nowMs: () => cloud.clock.now() }),
    rootsCheck({ load }, 'claim'),
    ...endpointChecks(context),
    claimConnectionCheck({ agent: host.agent, connect, endpoint: mqtt }),
    unlookedCheck,
    ...serviceChecks(host),
  ]
}

const unlookedCheck: Check = {
  id: 'credentials',
  name: 'all else',
  withinMs: 1_000,
  run: () =>
    Promise.resolve([skip('credentials, permissions and cameras are looked at once the appliance is provisioned')]),
}

function hintAtClaim(error: unknown): never {
  if (!(error instanceof IdentityError) || error.fault !== 'missing') throw error
  throw new AgentError(error.message, {
    hint: 'put the claim there (scripts/image-install --claim), or provision by hand: panorama-agent provision',
  })
}
