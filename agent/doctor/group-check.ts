import { fail, pass, skip, type Check, type Outcome } from './doctor-check.ts'

export interface ConfiguredGroup {
  readonly group: string
  /** What it is for, as the configuration names it. */
  readonly field: string
}

/** The groups of this machine, and those that the service gets. */
export interface GroupFacts {
  /** Whether /etc/group has it. */
  readonly exists: (group: string) => boolean
  /** Undefined where nobody can tell which groups the service gets. */
  readonly isOfService: ((group: string) => boolean) | undefined
}

const dropIn = '/etc/systemd/system/panorama-agent.service.d/groups.conf'

/** Whether the agent can give files to the groups that the configuration names: only to groups of its own (chown(2)). */
export function groupsCheck(
  groups: readonly ConfiguredGroup[],
  read: (signal: AbortSignal) => Promise<GroupFacts>,
): Check {
  return {
    id: 'groups',
    name: 'groups',
    withinMs: 8_000,
    run: async (signal) => {
      if (groups.length === 0) return [pass('the configuration names none')]
      const facts = await read(signal)
      return uniqueByName(groups).map((group) => ({ ...groupOutcome(group, facts), about: group.group }))
    },
  }
}

function groupOutcome({ group, field }: ConfiguredGroup, { exists, isOfService }: GroupFacts): Outcome {
  if (!exists(group)) {
    return fail(
      `there is no group ${group} in /etc/group, which ${field} names`,
      `groupadd --system ${group}; then ${toJoin(group)}`,
    )
  }
  if (isOfService === undefined) return skip('which groups the service has cannot be told here')
  if (!isOfService(group)) return fail(`the agent is not in the group ${group}, which ${field} names`, toJoin(group))
  return pass(`the service is in it (${field})`)
}

export function toJoin(group: string): string {
  return (
    `write "[Service]" and, on the next line, "SupplementaryGroups=${group}" into ${dropIn}, ` +
    'then systemctl daemon-reload and systemctl restart panorama-agent'
  )
}

function uniqueByName(groups: readonly ConfiguredGroup[]): readonly ConfiguredGroup[] {
  return [...new Map(groups.map((each) => [each.group, each])).values()]
}
