import { Action, actionStep, Flow, trigger, wfa } from '@servicenow/sdk/automation'
import { ReferenceColumn, StringColumn } from '@servicenow/sdk/core'

export const tell = Action(
    {
        $id: Now.ID['tell-action'],
        name: 'Ticket Elevate: tell',
        description: 'Tells Ticket Elevate that something happened to a ticket, and fails when it could not.',
        access: 'package_private',
        inputs: {
            ticket: ReferenceColumn({ label: 'Ticket', referenceTable: 'incident', mandatory: true }),
            started: StringColumn({ label: 'Run start time', mandatory: true }),
        },
        outputs: {},
    },
    (params) => {
        wfa.actionStep(
            actionStep.script,
            { $id: Now.ID['tell-step'], label: 'Call' },
            {
                required_run_time: 'instance',
                errorHandlingType: 'stop_the_action',
                script: Now.include('../scripts/flow_tell.js'),
                inputVariables: {
                    ticket: { label: 'Ticket', value: wfa.dataPill(params.inputs.ticket, 'reference') },
                    started: { label: 'Run start time', value: wfa.dataPill(params.inputs.started, 'string') },
                },
            }
        )
    }
)

// In place of the business rule "Ticket Elevate: tell", where you want a call that failed to be made again: after a
// minute, and after a quarter of an hour. What fails then too, the list of executions shows as an error.
Flow(
    {
        $id: Now.ID['tell-flow'],
        name: 'Ticket Elevate: tell',
        description: 'In place of the business rule of that name, and not beside it.',
        runAs: 'system',
    },
    wfa.trigger(
        trigger.record.createdOrUpdated,
        { $id: Now.ID['tell-trigger'] },
        {
            table: 'incident',
            condition: 'assigned_toVALCHANGES^ORstateVALCHANGES^ORactiveVALCHANGES',
            run_flow_in: 'background',
            run_on_extended: 'false',
            run_when_setting: 'both',
            trigger_strategy: 'every',
        }
    ),
    (params) => {
        wfa.flowLogic.tryCatch(
            { $id: Now.ID['first'] },
            {
                try: () => {
                    wfa.action(tell, { $id: Now.ID['first-call'] }, {
                        ticket: wfa.dataPill(params.trigger.current, 'reference'),
                        started: wfa.dataPill(params.trigger.run_start_time, 'string'),
                    })
                },
                catch: () => {
                    wfa.flowLogic.waitForADuration({
                        $id: Now.ID['first-wait'],
                        durationType: 'explicit_duration',
                        duration: Duration({ minutes: 1 }),
                    })
                    wfa.flowLogic.tryCatch(
                        { $id: Now.ID['second'] },
                        {
                            try: () => {
                                wfa.action(tell, { $id: Now.ID['second-call'] }, {
                                    ticket: wfa.dataPill(params.trigger.current, 'reference'),
                                    started: wfa.dataPill(params.trigger.run_start_time, 'string'),
                                })
                            },
                            catch: () => {
                                wfa.flowLogic.waitForADuration({
                                    $id: Now.ID['second-wait'],
                                    durationType: 'explicit_duration',
                                    duration: Duration({ minutes: 15 }),
                                })
                                wfa.action(tell, { $id: Now.ID['third-call'] }, {
                                    ticket: wfa.dataPill(params.trigger.current, 'reference'),
                                    started: wfa.dataPill(params.trigger.run_start_time, 'string'),
                                })
                            },
                        }
                    )
                },
            }
        )
    }
)
