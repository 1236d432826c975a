import { readFile } from 'node:fs/promises'

import { AgentError } from '../lib/errors.ts'

/** The groups that camera files can be given to. */
export interface CameraGroups {
  /**
   * The id of a group. Throws an AgentError, which says what to do, when the system does not know it, or the agent is
   * not in it: only to groups of its own can a process without privileges give a file (chown(2)).
   */
  readonly idOf: (name: string) => Promise<number>
}

export interface SystemGroupsOptions {
  /** Default `/etc/group`; groups that only NSS modules know are not found, and no program is started to ask them. */
  readonly groupFile?: string
  /** The groups of this process, which it got at its start. */
  readonly ownIds?: () => readonly number[]
  /** Where the configuration names the group; default that of a camera. */
  readonly field?: string
}

const dropIn = '/etc/systemd/system/panorama-agent.service.d/groups.conf'

export function systemGroups({
  groupFile = '/etc/group',
  ownIds = processGroups,
  field = 'cameras.streams[].group',
}: SystemGroupsOptions = {}): CameraGroups {
  return {
    idOf: async (name) => {
      const id = findGroup(await readFile(groupFile, 'utf8'), name)
      if (id === undefined) {
        throw new AgentError(`the group ${name} is not in ${groupFile}`, {
          hint: `make it (groupadd --system ${name}), or name another in ${field}; then ${toJoin(name)}`,
        })
      }
      if (!ownIds().includes(id)) {
        throw new AgentError(`the agent is not in the group ${name}, so it cannot give it a file`, {
          hint: toJoin(name),
        })
      }
      return id
    },
  }
}

/** The id in the third field of the group's line, see group(5); undefined when there is none, or no proper one. */
export function findGroup(text: string, name: string): number | undefined {
  const fields = text.split('\n').map((line) => line.split(':'))
  const id = fields.find(([found]) => found === name)?.[2]
  return id !== undefined && /^\d{1,10}$/.test(id) ? Number(id) : undefined
}

function processGroups(): readonly number[] {
  const own = process.getegid?.()
  return [...(process.getgroups?.() ?? []), ...(own === undefined ? [] : [own])]
}

/** The assignment may be repeated, one line for each group. */
function toJoin(name: string): string {
  return (
    `write "[Service]" and, on the next line, "SupplementaryGroups=${name}" into ${dropIn}, ` +
    'then systemctl daemon-reload and systemctl restart panorama-agent'
  )
}
