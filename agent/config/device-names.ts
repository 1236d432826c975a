import type { Config } from './config-schema.ts'

export interface DeviceNames {
  /** For log groups and the metric dimension DeviceId. */
  readonly id: string
  /** For people and the metric dimension DeviceName. */
  readonly name: string
}

/** The device's names; both default to the thing name with `-` for every character that CloudWatch does not allow. */
export function deviceNames({ thingName, id, name }: Config['device']): DeviceNames {
  const fitting = thingName.replace(/[^A-Za-z0-9._/#-]/g, '-')
  return { id: id ?? fitting, name: name ?? fitting }
}
