import type { Cloud } from '../cloud/cloud.ts'

/** The messages of a log stream in order; none while group or stream are not there. */
export function arrivedMessages({ logs }: Pick<Cloud, 'logs'>, group: string, stream: string): readonly string[] {
  if (!logs.groups().some(({ name }) => name === group)) return []
  if (!logs.streams(group).some(({ name }) => name === stream)) return []
  return logs.events(group, stream).map(({ message }) => message)
}
