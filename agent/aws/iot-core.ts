import type { FleetProvisioning } from '../identity/fleet-provisioning.ts'
import { IotConnection, type IotConnectionOptions, type IotConnectionStatus } from './iot-connection.ts'
import { fleetProvisioningOver } from './iot-fleet-provisioning.ts'
import { IotJobsService } from './iot-jobs-service.ts'
import { IotShadow } from './iot-shadow.ts'

/** What an appliance has of AWS IoT Core: one connection, and what goes over it. */
export interface IotCore extends AsyncDisposable {
  readonly jobs: IotJobsService
  readonly shadow: IotShadow
  /** Fleet provisioning as the thing, for as long as it is not disposed of. */
  readonly provisioning: (template: string) => Promise<FleetProvisioning>
  readonly status: () => IotConnectionStatus
}

const shadowName = 'panorama-agent'

/** Nothing is connected before somebody asks for something. The client id is the thing name. */
export function createIotCore(options: IotConnectionOptions): IotCore {
  const connection = new IotConnection(options)
  const of = { connection, thingName: options.clientId }
  const jobs = new IotJobsService(of)
  const shadow = new IotShadow({ ...of, shadowName })
  return {
    jobs,
    shadow,
    provisioning: (template) => fleetProvisioningOver(connection, template),
    status: () => connection.status(),
    async [Symbol.asyncDispose]() {
      jobs[Symbol.dispose]()
      shadow[Symbol.dispose]()
      await connection[Symbol.asyncDispose]()
    },
  }
}
