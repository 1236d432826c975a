import { writeFileSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'

import type { Reporter, SerializedError, TestModule } from 'vitest/node'

import { reportVariable, type TestReport } from './test-report.ts'

/** How much of a failure's message is said again at the end; the run itself printed all of it. */
const shownLines = 30

/**
 * A reporter for vitest that writes a {@link TestReport} to the file that the environment names: of tests that failed,
 * files that could not be loaded, hooks, and errors that no test awaited.
 */
export default class ReportWriter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const file = process.env[reportVariable]
    if (file === undefined) throw new Error(`${reportVariable} names no file for the report`)
    const failures = [
      ...modules.flatMap((module) => tellFailures(module)),
      ...unhandled.map((error) => tell('outside of any test', [error])),
    ]
    const report: TestReport = { passed: count(modules, 'passed'), leftOut: count(modules, 'skipped'), failures }
    writeFileSync(file, JSON.stringify(report))
  }
}

function tellFailures(module: TestModule): string[] {
  const tests = [...module.children.allTests('failed')]
  const suites = [module, ...module.children.allSuites()].filter((suite) => suite.errors().length > 0)
  return [
    ...suites.map((suite) => tell(module.relativeModuleId, suite.errors())),
    ...tests.map((test) => tell(`${module.relativeModuleId} > ${test.fullName}`, test.result().errors ?? [])),
  ]
}

function tell(where: string, errors: readonly SerializedError[]): string {
  const lines = errors.flatMap((error) => linesOf(error))
  const shown = lines.length > shownLines ? [...lines.slice(0, shownLines), '...'] : lines
  return [where, ...shown.map((line) => `    ${line}`)].join('\n')
}

/** The message, where it came from in our own files, and what was expected and received. */
function linesOf(error: SerializedError): string[] {
  const stack = (error.stack ?? error.message).split('\n').filter((line) => !/node_modules|<anonymous>/.test(line))
  const diff = typeof error['diff'] === 'string' ? error['diff'].split('\n') : []
  return [...stack, ...diff].map((line) => stripVTControlCharacters(line))
}

function count(modules: readonly TestModule[], state: 'passed' | 'skipped'): number {
  return modules.reduce((total, module) => total + [...module.children.allTests(state)].length, 0)
}
