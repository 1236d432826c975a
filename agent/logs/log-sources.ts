import type { Config } from '../config/config-schema.ts'
import type { DeliveredSource, LogSourceContext } from './delivered-source.ts'
import { FileLogSource } from './files/file-log-source.ts'
import { journalctlStarter } from './journal/journal-child.ts'
import { readJournalClock } from './journal/journal-clock.ts'
import { journalFolders, readJournalFiles } from './journal/journal-files.ts'
import { journalStateSchema, type JournalState } from './journal/journal-position.ts'
import type { JournalSourceConfig } from './journal/journal-routes.ts'
import { JournalSource } from './journal/journal-source.ts'
import { deviceValues, expandTarget, sourcePatterns, type DeviceLabels } from './log-targets.ts'

export interface LogSourcesOptions {
  readonly config: Pick<Config['logs'], 'sources' | 'maxBacklogBytes'>
  readonly device: DeviceLabels
  /** Of this boot; undefined where systemd does not tell it. */
  readonly bootId?: string | undefined
}

const deviceGroup = '/aws/panorama/devices/{device.id}'
const ownUnit = 'panorama-agent.service'

/** The sources that the configuration names: one for all files, and one for all that is read of the journal. */
export function createLogSources(
  { config: { sources, maxBacklogBytes }, device, bootId }: LogSourcesOptions,
  context: LogSourceContext,
): readonly DeliveredSource[] {
  const files = new FileLogSource({ ...context, patterns: sourcePatterns(sources, device), maxBacklogBytes })
  const ofJournal = sources.filter((source) => source.kind === 'journal')
  return ofJournal.length === 0
    ? [files]
    : [files, createJournalSource(ofJournal, { device, bootId, maxBacklogBytes }, context)]
}

function createJournalSource(
  sources: readonly JournalSourceConfig[],
  { device, bootId, maxBacklogBytes }: Omit<LogSourcesOptions, 'config'> & { readonly maxBacklogBytes: number },
  { positions, onGap, cloudNow, oldestMs }: LogSourceContext,
): JournalSource {
  return new JournalSource({
    sources,
    targetOf: ({ group = deviceGroup, stream }, { unit = '' }) =>
      expandTarget({ group, stream }, { ...deviceValues(device), unit }),
    ownUnit,
    state: journalStateOf(positions.journal),
    clock: readJournalClock(bootId),
    cloudNow,
    onGap,
    start: journalctlStarter(),
    bounds: {
      maxBacklogBytes,
      oldestMs,
      files: async () => await readJournalFiles(await journalFolders()),
    },
  })
}

/** What cannot be read is as if it were not there: the journal is read from the beginning of this boot. */
function journalStateOf(saved: unknown): JournalState | undefined {
  return journalStateSchema.safeParse(saved).data
}
