import { z } from 'zod'

const reportSchema = z.object({
  passed: z.number(),
  leftOut: z.number(),
  /** Each says where and what, on several lines. */
  failures: z.array(z.string()),
})

/** What came of a run of tests: how many passed and were left out, and a text for each failure. */
export type TestReport = Readonly<z.infer<typeof reportSchema>>

/** The environment variable that tells the reporter which file its report goes to. */
export const reportVariable = 'PANORAMA_TEST_REPORT'

/**
 * Reads a report of {@link TestReport}'s shape. A run that did not succeed has at least one failure: also when it broke
 * before its report, or when not one test was run.
 *
 * @param text the report; empty when there is none.
 */
export function readTestReport(text: string, run: { name: string; hasSucceeded: boolean }): TestReport {
  const report = parseReport(text)
  if (report === undefined) return { passed: 0, leftOut: 0, failures: [`${run.name}: the run ended without a report`] }
  if (report.failures.length > 0) return report
  if (report.passed === 0) return { ...report, failures: [`${run.name}: not one test was run`] }
  if (!run.hasSucceeded) return { ...report, failures: [`${run.name}: the run failed, and none of its tests did`] }
  return report
}

function parseReport(text: string): TestReport | undefined {
  try {
    return reportSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}
