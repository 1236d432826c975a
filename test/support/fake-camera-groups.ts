import type { CameraGroups } from '../../agent/cameras/camera-groups.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** The groups given, by name; all others are missing. */
export function fakeCameraGroups(ids: Readonly<Record<string, number>> = {}): CameraGroups {
  return {
    idOf: async (name) => {
      const id = ids[name]
      if (id === undefined) throw new AgentError(`the group ${name} is missing`, { hint: `join ${name}` })
      return await Promise.resolve(id)
    },
  }
}
